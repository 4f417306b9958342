"""A stand-in for the part of `nvmath.bindings.cublasLt` in use. It computes, from nothing but what it was told.

Handles are numbers, attributes arrive as bytes at an address, matrices are read column by column with their leading
dimension, inside the array that the address belongs to. What cuBLASLt answers with a status raises Refused here.
"""

from __future__ import annotations

import ctypes
import itertools
from enum import IntEnum
from types import SimpleNamespace

import numpy as np


class Refused(Exception):
    """CUBLAS_STATUS_INVALID_VALUE and its like."""


Epilogue = IntEnum("Epilogue", {"DEFAULT": 1, "BIAS": 4, "RELU_BIAS": 6, "BGRADA": 256})
MatmulDescAttribute = IntEnum("MatmulDescAttribute", {"TRANSA": 3, "TRANSB": 4, "EPILOGUE": 7, "BIAS_POINTER": 8})
MatrixLayoutAttribute = IntEnum("MatrixLayoutAttribute", {"BATCH_COUNT": 5, "STRIDED_BATCH_OFFSET": 6})
_ALIGNMENTS = {f"MIN_ALIGNMENT_{name}_BYTES": 5 + i for i, name in enumerate("ABCD")}
MatmulPreferenceAttribute = IntEnum("MatmulPreferenceAttribute", {"MAX_WORKSPACE_BYTES": 1, **_ALIGNMENTS})
ROUNDED = {"COMPUTE_32F_FAST_16F": 74, "COMPUTE_32F_FAST_16BF": 75, "COMPUTE_32F_FAST_TF32": 77}
ComputeType = IntEnum("ComputeType", {"COMPUTE_32F": 68, **ROUNDED})
CudaDataType = IntEnum("CudaDataType", {"CUDA_R_32F": 0})


def _bits(n):
    """Rounds to so many significant bits, in float64."""

    def to_nearest(x):
        fraction, exponent = np.frexp(x.astype("f8"))
        return np.ldexp(np.rint(np.ldexp(fraction, n)), exponent - n)

    return to_nearest


ROUND = {"COMPUTE_32F": lambda x: x.astype("f8"), "COMPUTE_32F_FAST_TF32": _bits(11), "COMPUTE_32F_FAST_16BF": _bits(8)}
ROUND["COMPUTE_32F_FAST_16F"] = lambda x: x.astype("f2").astype("f8")
matmul_heuristic_result_dtype = np.dtype([("algo", "<u8", (8,)), ("workspace_size", "<u8"), ("reserved", "<i4", (6,))])

DTYPES = {
    MatmulDescAttribute: {"TRANSA": "i4", "TRANSB": "i4", "EPILOGUE": "u4", "BIAS_POINTER": "i8"},
    MatrixLayoutAttribute: {"BATCH_COUNT": "i4", "STRIDED_BATCH_OFFSET": "i8"},
    MatmulPreferenceAttribute: {"MAX_WORKSPACE_BYTES": "u8", **dict.fromkeys(_ALIGNMENTS, "u4")},
}


def need(condition, text):
    if not condition:
        raise Refused(text)


class Lt:
    """The module, for one test. asked: how often for an algorithm; made: the epilogues of the products made, computed:
    their arithmetic."""

    cuBLASLtError = Refused
    Epilogue, matmul_heuristic_result_dtype = Epilogue, matmul_heuristic_result_dtype
    MatmulDescAttribute, MatrixLayoutAttribute = MatmulDescAttribute, MatrixLayoutAttribute
    MatmulPreferenceAttribute = MatmulPreferenceAttribute

    def __init__(self, cuda):
        self.cuda, self.asked, self.made, self.computed = cuda, 0, [], []
        self._numbers, self._things = itertools.count(0x1000), {}
        self._problems = []
        for kind, attributes in (
            ("matmul_desc", MatmulDescAttribute),
            ("matrix_layout", MatrixLayoutAttribute),
            ("matmul_preference", MatmulPreferenceAttribute),
        ):
            setattr(
                self, f"get_{kind}_attribute_dtype", lambda a, known=attributes: np.dtype(DTYPES[known][a.name]).type
            )
            setattr(self, f"{kind}_set_attribute", lambda *args, k=kind, known=attributes: self._set(k, known, *args))

    def _new(self, kind, **fields):
        number = next(self._numbers)
        self._things[number] = SimpleNamespace(kind=kind, **fields)
        return number

    def _get(self, kind, number):
        thing = self._things.get(number)
        need(thing is not None and thing.kind == kind, f"{number} is no {kind}")
        return thing

    def create(self):
        return self._new("handle")

    def matmul_desc_create(self, compute, scale):
        need(compute in set(ComputeType) and scale == CudaDataType.CUDA_R_32F, "float32 only, rounded or not")
        return self._new("matmul_desc", compute=ComputeType(compute), TRANSA=0, TRANSB=0, EPILOGUE=1, BIAS_POINTER=0)

    def matrix_layout_create(self, dtype, rows, columns, leading):
        need(dtype == CudaDataType.CUDA_R_32F and leading >= rows > 0 and columns > 0, f"{rows} rows, {leading} apart")
        size = {"rows": rows, "columns": columns, "leading": leading}
        return self._new("matrix_layout", **size, BATCH_COUNT=1, STRIDED_BATCH_OFFSET=0)

    def matmul_preference_create(self):
        return self._new("matmul_preference", MAX_WORKSPACE_BYTES=0, **dict.fromkeys(_ALIGNMENTS, 256))

    def matmul_preference_destroy(self, number):
        self._get("matmul_preference", number)
        del self._things[number]

    def _set(self, kind, known, number, attribute, address, nbytes):
        name, thing = known(attribute).name, self._get(kind, number)
        dtype = np.dtype(DTYPES[known][name])
        need(nbytes == dtype.itemsize, f"{name} has {dtype.itemsize} bytes; got {nbytes}")
        setattr(thing, name, int(np.frombuffer(ctypes.string_at(address, nbytes), dtype)[0]))

    def matmul_algo_get_heuristic(self, handle, desc, a, b, c, d, preference, wanted, results, count):
        need(not self.cuda.get_current_stream().is_capturing(), "asked for an algorithm under capture")
        self._get("handle", handle)
        told = self._get("matmul_preference", preference)
        need(all(getattr(told, x) in (4, 8, 16, 32, 64, 128, 256) for x in _ALIGNMENTS), "an alignment that is none")
        problem = self._problem(desc, a, b, c, d)
        self._problems.append((problem, told))
        found = np.zeros(wanted, matmul_heuristic_result_dtype)
        found["algo"][0] = len(self._problems)
        ctypes.memmove(results, found.ctypes.data, found.nbytes)
        ctypes.memmove(count, np.ones(1, "i4").ctypes.data, 4)
        self.asked += 1

    def _problem(self, desc, *layouts):
        told, (a, b, c, d) = self._get("matmul_desc", desc), [self._get("matrix_layout", x) for x in layouts]
        (m, k), (l, n) = _shape(a, told.TRANSA), _shape(b, told.TRANSB)
        need(k == l and (m, n) == _shape(d, 0) == _shape(c, 0), f"{m} x {k} times {l} x {n} is not {_shape(d, 0)}")
        need(a.BATCH_COUNT == b.BATCH_COUNT == c.BATCH_COUNT == d.BATCH_COUNT, "batches of different lengths")
        need(told.EPILOGUE == Epilogue.DEFAULT or told.BIAS_POINTER, "no bias to read or write")
        return [{**vars(x), "BIAS_POINTER": 0} for x in (told, a, b, c, d)]

    def matmul(self, handle, desc, alpha, a, of_a, b, of_b, beta, c, of_c, d, of_d, algo, space, nbytes, stream):
        self._get("handle", handle)
        tag = np.frombuffer(ctypes.string_at(algo, 64), "u8")
        problem, told = self._problems[int(tag[0]) - 1]
        need(problem == self._problem(desc, of_a, of_b, of_c, of_d), "the algorithm is of another problem")
        need(self.cuda.allocated.get(space, 0) >= nbytes >= told.MAX_WORKSPACE_BYTES, "a workspace that is too short")
        need(stream == self.cuda.get_current_stream().ptr and c == d, "another stream, or C elsewhere")
        operands = (a, of_a), (b, of_b), (d, of_d)
        for name, address in zip("ABCD", (a, b, c, d), strict=True):
            need(address % getattr(told, f"MIN_ALIGNMENT_{name}_BYTES") == 0, f"{name} is not aligned as promised")
        one, zero = [ctypes.c_float.from_address(x).value for x in (alpha, beta)]
        need((one, zero) == (1, 0), "alpha and beta")
        now = SimpleNamespace(**vars(self._things[desc]))  # a graph knows what it was told when it was captured
        self.cuda.streams.launched(lambda: self._compute(now, *((p, self._things[of]) for p, of in operands)))

    def _compute(self, desc, a, b, d):
        x, y = (ROUND[desc.compute.name](self._read(*operand)) for operand in (a, b))
        x, y = x.swapaxes(1, 2) if desc.TRANSA else x, y.swapaxes(1, 2) if desc.TRANSB else y
        out = x @ y
        if desc.EPILOGUE != Epilogue.DEFAULT:
            rows = SimpleNamespace(rows=out.shape[1], columns=1, leading=out.shape[1], BATCH_COUNT=1)
            rows.STRIDED_BATCH_OFFSET = 0
            bias = self._read(desc.BIAS_POINTER, rows)
            if desc.EPILOGUE == Epilogue.BIAS:
                out = out + bias
            elif desc.EPILOGUE == Epilogue.RELU_BIAS:
                out = np.fmax(out + bias, 0)  # NaN is lost, as the library does it
            else:
                need(len(out) == 1, "a bias gradient of a batch")
                bias[...] = x.sum(2)[..., None]
        self._read(*d)[...] = out
        self.made.append(Epilogue(desc.EPILOGUE).name)
        self.computed.append(desc.compute.name)

    def _read(self, address, layout):
        """(batch, rows, columns) of the array that begins here."""
        apart = layout.STRIDED_BATCH_OFFSET
        last = (layout.BATCH_COUNT - 1) * apart + (layout.columns - 1) * layout.leading + layout.rows
        need(4 * last <= self.cuda.allocated.get(address, 0), f"{4 * last} bytes are read past the end")
        flat = np.ctypeslib.as_array((ctypes.c_float * last).from_address(address))
        shape = layout.BATCH_COUNT, layout.rows, layout.columns
        return np.lib.stride_tricks.as_strided(flat, shape, (4 * apart, 4, 4 * layout.leading))


def _shape(layout, transposed):
    return (layout.columns, layout.rows) if transposed else (layout.rows, layout.columns)
