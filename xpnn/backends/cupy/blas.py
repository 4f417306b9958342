"""cuBLASLt, CUDA's own matrix products, through nvmath-python: large products of float32, fused with the sum of a bias.

The library thinks in columns. What lies here row by row is to it the transpose, so out = A B is asked for as
out^T = B^T A^T: our B is its A, our A its B, and nothing moves. Which algorithm to take it is asked once for each
kind of product, never while a stream is captured, where that may fail. Its workspace is one for each GPU, as products
run one after the other there: so do all kernels here, see `last_block` of common.cuh.

Of its epilogues only those of a bias are of use. ReLU's make 0 of NaN (NVIDIA's developer forum, thread 329783), so
that a network gone wrong would look sound. How exact GELU's are is not said. DRELU_BGRAD would save the launch for dz,
but reads bits that RELU_AUX has left: of another layer's forward, of which an op knows nothing.
"""

from __future__ import annotations

import importlib
import sys
import warnings
from functools import cache, cached_property
from typing import Any, NamedTuple

import numpy as np

from xpnn.backends.cupy import causes
from xpnn.backends.cupy.formats import format_of
from xpnn.backends.cupy.gemm import Product
from xpnn.errors import BackendError, CaptureError

LARGE = 1 << 26
"""Multiplications from which on the library serves. They take 2 us and more of a GPU's time: what its better loop saves
is then more than its slower call costs, and the second launch for an activation. An estimate; no GPU was at hand."""
WORKSPACE = 32 << 20
"""Bytes, what NVIDIA advises for Hopper."""


EXACT = "COMPUTE_32F"
COMPUTE = {"Tf32": "COMPUTE_32F_FAST_TF32", "Bf16": "COMPUTE_32F_FAST_16BF", "Fp16": "COMPUTE_32F_FAST_16F"}
"""What the library may make of float32 operands."""

ATTRIBUTES = {
    "matmul_desc": "MatmulDescAttribute",
    "matrix_layout": "MatrixLayoutAttribute",
    "matmul_preference": "MatmulPreferenceAttribute",
}
"""Where nvmath-python has the names of what a thing of each kind can be told."""


class Matrix(NamedTuple):
    """As the library sees it: column by column, the columns `leading` apart, the products of a batch `apart`."""

    rows: int
    columns: int
    leading: int
    apart: int
    transposed: bool


class Wanted(NamedTuple):
    """A kind of product. epilogue: DEFAULT, BIAS (added to every row), BGRADA (B of ours, summed over its rows)."""

    a: Matrix
    b: Matrix
    out: Matrix
    batch: int
    compute: str
    """How operands may be rounded, as the library names it."""
    epilogue: str
    aligned: tuple[int, int, int]
    """Bytes that the addresses are multiples of."""

    def __str__(self) -> str:
        M, N, K = self.out.columns, self.out.rows, self.a.rows if self.a.transposed else self.a.columns
        return f"{M} x {K} times {K} x {N} of {self.batch} ({self.compute}, {self.epilogue}, aligned {self.aligned})"


def serves(product: Product) -> bool:
    """Is this a product for the library, and is the library there?"""
    large = product.M * product.N * product.K * product.batch >= LARGE
    plain = product.dtype == np.float32 and product.outer.length == product.summed.length == 1
    return large and plain and library(_device()) is not None


def _device() -> int:
    return sys.modules["cupy"].cuda.runtime.getDevice()


@cache
def library(device: int) -> Library | None:
    """The library on the current GPU, which has this number; None without nvmath-python, and with a RuntimeWarning
    where that is broken."""
    try:
        nvmath, cublas = importlib.import_module("nvmath"), importlib.import_module("nvmath.bindings.cublas")
        return Library(importlib.import_module("nvmath.bindings.cublasLt"), cublas.ComputeType, nvmath.CudaDataType)
    except Exception as error:  # of another type for each thing that may be missing
        if not (isinstance(error, ModuleNotFoundError) and error.name == "nvmath"):
            warnings.warn(
                f"xpnn: nvmath-python is installed and cannot be used ({type(error).__name__}: {causes.brief(error)}); "
                "large products do without cuBLASLt. Install it again, or uninstall it",
                RuntimeWarning,
                stacklevel=2,
            )
        return None


def wanted(product: Product, precision: str, a: Any, b: Any, out: Any, epilogue: str) -> Wanted:
    M, N, K = product[:3]
    aligned = tuple([min(256, x.data.ptr & -x.data.ptr) for x in (b, a, out)])
    return Wanted(
        _matrix((N, K), product.b, product.inner.b),
        _matrix((K, M), product.a[::-1], product.inner.a),
        Matrix(N, M, N, M * N, False),
        product.batch,
        COMPUTE.get(format_of(product.dtype, precision), EXACT),
        epilogue,
        (aligned[0], aligned[1], aligned[2]),
    )


def _matrix(shape: tuple[int, int], strides: tuple[int, int], apart: int) -> Matrix:
    transposed = strides[0] != 1
    rows, columns = shape[::-1] if transposed else shape
    return Matrix(rows, columns, max(rows, strides[0 if transposed else 1]), apart, transposed)


class Call:
    """One product, to be made any number of times. bias: read (BIAS) or written (BGRADA)."""

    def __init__(
        self, product: Product, precision: str, a: Any, b: Any, out: Any, bias: Any = None, epilogue: str = "DEFAULT"
    ) -> None:
        found = library(_device())
        assert found is not None
        self.library, self.arrays = found, (b, a, out, bias)
        self.wanted = wanted(product, precision, a, b, out, epilogue)

    def __call__(self) -> None:
        self.library.run(self.wanted, *self.arrays)


class Plan(NamedTuple):
    """What the library needs to know of a kind of product, by handles and addresses of its own."""

    description: int
    layouts: tuple[int, int, int]
    algorithm: np.ndarray


class Library:
    """cuBLASLt on one GPU: its handle, its workspace, the plans made so far."""

    def __init__(self, lt: Any, arithmetic: Any, types: Any) -> None:
        self.lt, self.arithmetic, self.float32 = lt, arithmetic, int(types.CUDA_R_32F)
        self.handle = lt.create()
        self.plans: dict[Wanted, Plan] = {}
        self.one, self.zero = np.ones(1, np.float32), np.zeros(1, np.float32)

    def run(self, wanted: Wanted, a: Any, b: Any, out: Any, bias: Any) -> None:
        stream = sys.modules["cupy"].cuda.get_current_stream()
        plan = self.plans.get(wanted)
        if plan is None:
            if stream.is_capturing():
                raise CaptureError(f"matmul: {wanted} is new while a stream is captured; run the step once before")
            plan = self.plans[wanted] = self._plan(wanted, bias)
        self._point(plan.description, bias)
        (of_a, of_b, of_out), to = plan.layouts, out.data.ptr
        operands = (a.data.ptr, of_a, b.data.ptr, of_b, self.zero.ctypes.data, to, of_out, to, of_out)
        space = self.workspace.data.ptr, WORKSPACE
        algorithm = plan.algorithm.ctypes.data
        self.lt.matmul(self.handle, plan.description, self.one.ctypes.data, *operands, algorithm, *space, stream.ptr)

    @cached_property
    def workspace(self) -> Any:
        """There before anything is captured, since every kind of product runs once before."""
        return sys.modules["cupy"].empty(WORKSPACE, np.uint8)

    def _plan(self, wanted: Wanted, bias: Any) -> Plan:
        lt = self.lt
        description = lt.matmul_desc_create(int(self.arithmetic[wanted.compute]), self.float32)
        self._set("matmul_desc", description, "TRANSA", wanted.a.transposed)
        self._set("matmul_desc", description, "TRANSB", wanted.b.transposed)
        self._set("matmul_desc", description, "EPILOGUE", lt.Epilogue[wanted.epilogue])
        self._point(description, bias)
        a, b, out = (self._layout(matrix, wanted.batch) for matrix in (wanted.a, wanted.b, wanted.out))
        preference = lt.matmul_preference_create()
        self._set("matmul_preference", preference, "MAX_WORKSPACE_BYTES", WORKSPACE)
        for name, nbytes in zip("ABCD", (*wanted.aligned, wanted.aligned[2]), strict=True):
            self._set("matmul_preference", preference, f"MIN_ALIGNMENT_{name}_BYTES", nbytes)
        results, count = np.zeros(1, lt.matmul_heuristic_result_dtype), np.zeros(1, np.int32)
        into = results.ctypes.data, count.ctypes.data
        cause = "none found"
        try:
            lt.matmul_algo_get_heuristic(self.handle, description, a, b, out, out, preference, 1, *into)
        except lt.cuBLASLtError as error:
            cause = causes.brief(error)
        finally:
            lt.matmul_preference_destroy(preference)
        if not count[0]:
            raise BackendError(
                f"matmul: cuBLASLt has no algorithm for {wanted} ({cause}); uninstall nvmath-python to do without"
            )
        return Plan(description, (a, b, out), results["algo"].copy())

    def _layout(self, matrix: Matrix, count: int) -> int:
        layout: int = self.lt.matrix_layout_create(self.float32, matrix.rows, matrix.columns, matrix.leading)
        self._set("matrix_layout", layout, "BATCH_COUNT", count)
        self._set("matrix_layout", layout, "STRIDED_BATCH_OFFSET", matrix.apart)
        return layout

    def _point(self, description: int, bias: Any) -> None:
        if bias is not None:
            self._set("matmul_desc", description, "BIAS_POINTER", bias.data.ptr)

    def _set(self, kind: str, handle: int, name: str, value: int) -> None:
        """An attribute, as the bytes of the type that the library has for it."""
        attribute = getattr(self.lt, ATTRIBUTES[kind])[name]
        buffer = np.array([value], getattr(self.lt, f"get_{kind}_attribute_dtype")(attribute))
        getattr(self.lt, f"{kind}_set_attribute")(handle, attribute, buffer.ctypes.data, buffer.nbytes)
