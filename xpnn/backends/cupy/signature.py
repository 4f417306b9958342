"""The parameters of a CUDA kernel, read from its source, and the arguments made to fit them.

CUDA takes arguments as bytes: a Python float arrives as 8 bytes where the kernel reads a float of 4, and nothing
complains. So the C++ types are read where they stand, and every argument is converted or refused before the launch.
A struct of whole numbers, whose fields stand before anything else in it, goes by value: it is given as a tuple.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any, NamedTuple

import numpy as np

from xpnn.errors import BackendError, DTypeError, ShapeError

DTYPES = {
    **dict.fromkeys(("bool",), "?"),
    **dict.fromkeys(("unsigned char", "uint8_t"), "u1"),
    **dict.fromkeys(("int", "int32_t"), "i4"),
    **dict.fromkeys(("unsigned", "unsigned int", "uint32_t"), "u4"),
    **dict.fromkeys(("long long", "int64_t"), "i8"),
    **dict.fromkeys(("unsigned long long", "uint64_t", "size_t"), "u8"),
    **dict.fromkeys(("__half", "half"), "f2"),
    **dict.fromkeys(("float", "Tf32", "Bf16", "Fp16"), "f4"),
    **dict.fromkeys(("double",), "f8"),
}
"""By the name in C++; formats of mma.cuh by what is stored."""
_STORED = re.compile(r"\bStored<(\w+)>")
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_BOUNDS = re.compile(r"__launch_bounds__\s*\([^)]*\)")
_FIELD = r"(?:int|long long)\s+\w+(?:\[\d+\])?(?:\s*,\s*\w+(?:\[\d+\])?)*\s*;\s*"
_STRUCT = re.compile(rf"struct\s+(\w+)\s*\{{\s*((?:{_FIELD})+)(?=\}}|__device__)")
_KERNEL = re.compile(r"(?:template\s*<([^>]*)>\s*)?(?:extern\s*\"C\"\s*)?__global__\s+void\s+(\w+)\s*\(([^)]*)\)")


class Parameter(NamedTuple):
    name: str
    dtype: np.dtype
    pointer: bool


def parameters(source: str, instantiation: str) -> tuple[Parameter, ...]:
    """The parameters of `adam<float, 256>`, of `template <typename T, int B> __global__ void adam(T* p, ...)`.

    source: with the headers that define its structs. Raises BackendError when there is no such kernel or a type is not
    known.
    """
    name, _, given = instantiation.rstrip("> ").partition("<")
    plain = _BOUNDS.sub("", _COMMENT.sub("", source))
    match = next((m for m in _KERNEL.finditer(plain) if m[2] == name.strip()), None)
    if match is None:
        known = ", ".join(m[2] for m in _KERNEL.finditer(plain)) or "none"
        raise BackendError(f"kernel {name.strip()!r} is not in the source; it has {known}")
    types: dict[str, str] = {}
    values = [value.strip() for value in given.split(",")] if given else []
    for i, entry in enumerate(match[1].split(",") if match[1] else ()):
        declared, _, default = entry.partition("=")
        types[declared.split()[-1]] = values[i] if i < len(values) else types.get(default.strip(), default.strip())
    structs = {m[1]: _struct(m[2]) for m in _STRUCT.finditer(plain)}
    return tuple(_parameter(instantiation, entry, types, structs) for entry in match[3].split(",") if entry.strip())


def _struct(fields: str) -> np.dtype:
    """Of `int n[3], m; long long size;`"""
    found = []
    for line in fields.split(";")[:-1]:
        kind = next(kind for kind in ("long long", "int") if line.split()[0] == kind.split()[0])
        for entry in line.strip().removeprefix(kind).split(","):
            name, _, length = entry.strip().rstrip("]").partition("[")
            found.append((name, DTYPES[kind], (int(length),)) if length else (name, DTYPES[kind]))
    return np.dtype(found, align=True)


def _parameter(kernel: str, entry: str, types: dict[str, str], structs: dict[str, np.dtype]) -> Parameter:
    entry = _STORED.sub(r"\1", entry)
    words = re.sub(r"\b(const|__restrict__|__grid_constant__)\b", " ", entry).replace("*", " * ").split()
    pointer = "*" in words
    *kind, name = [word for word in words if word != "*"]
    written = " ".join(types.get(word, word) for word in kind)
    if written in structs and not pointer:
        return Parameter(name, structs[written], pointer)
    if written not in DTYPES:
        raise BackendError(f"kernel {kernel}: parameter {name} has a type that is not known: {' '.join(kind)}")
    return Parameter(name, np.dtype(DTYPES[written]), pointer)


def fit(kernel: str, wanted: Sequence[Parameter], given: Sequence[Any], array_type: type) -> tuple[Any, ...]:
    """The arguments as CUDA must have them: arrays of the very dtype and contiguous, numbers as NumPy scalars, structs
    as NumPy arrays of one element, which CuPy passes by value.

    None stands for a null pointer. Raises ShapeError for another count, DTypeError for what does not fit.
    """
    if len(given) != len(wanted):
        names = ", ".join(p.name for p in wanted)
        raise ShapeError(f"kernel {kernel}: expected {len(wanted)} arguments ({names}); got {len(given)}")
    return tuple(
        [
            _array(kernel, p, x, array_type) if p.pointer else _value(kernel, p, x)
            for p, x in zip(wanted, given, strict=True)
        ]
    )


def _array(kernel: str, p: Parameter, x: Any, array_type: type) -> Any:
    if x is None:
        return np.uintp(0)
    if not isinstance(x, array_type) or x.dtype != p.dtype:  # type: ignore[attr-defined]
        got = f"{type(x).__name__} {getattr(x, 'dtype', '')}".strip()
        raise DTypeError(f"kernel {kernel}: expected {p.name} as a device array of {p.dtype}; got {got}")
    if not x.flags.c_contiguous:  # type: ignore[attr-defined]
        raise ShapeError(f"kernel {kernel}: expected {p.name} contiguous; got strides {x.strides}")  # type: ignore[attr-defined]
    return x


def _value(kernel: str, p: Parameter, x: Any) -> np.generic | np.ndarray:
    """A number, or the tuple of a struct's fields, those of a field that is an array as a tuple of their own."""
    if p.dtype.fields is None:
        return _number(kernel, p, x)
    fields = [Parameter(f"{p.name}.{name}", field[0], False) for name, field in p.dtype.fields.items()]
    if not isinstance(x, tuple) or len(x) != len(fields):
        raise ShapeError(f"kernel {kernel}: expected {p.name} as a tuple of {len(fields)} fields; got {x}")
    struct = np.zeros((), p.dtype)  # what is between the fields too: the same bytes every time
    struct[()] = tuple([_field(kernel, f, value) for f, value in zip(fields, x, strict=True)])
    return struct


def _field(kernel: str, p: Parameter, x: Any) -> Any:
    if not p.dtype.shape:
        return _number(kernel, p, x)
    if not isinstance(x, tuple) or len(x) != p.dtype.shape[0]:
        raise ShapeError(f"kernel {kernel}: expected {p.name} as a tuple of {p.dtype.shape[0]} numbers; got {x}")
    return [_number(kernel, Parameter(p.name, p.dtype.base, False), value) for value in x]


def _number(kernel: str, p: Parameter, x: Any) -> np.generic:
    """Integers fit integers in their range; any real number fits a floating-point parameter, rounded."""
    fits = isinstance(x, (Integral, np.bool_)) if p.dtype.kind in "iub" else isinstance(x, (Real, np.bool_))
    if fits and p.dtype.kind in "iu":
        limits = np.iinfo(p.dtype)
        fits = limits.min <= int(x) <= limits.max
    if not fits:
        raise DTypeError(
            f"kernel {kernel}: expected {p.name} as a number that fits {p.dtype}; got {type(x).__name__} {x}"
        )
    return p.dtype.type(x)
