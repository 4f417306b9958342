"""Elementwise arithmetic on CUDA: a kernel for each function. Gradients of two inputs go by the reference."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.arithmetic import COMPARE
from xpnn.core.contract import Override, floating, made

# In the order of arithmetic.cu.
UNARY = ("negative", "abs", "exp", "log", "sqrt", "square", "sign")
BINARY = ("add", "subtract", "multiply", "divide", "power", "maximum", "minimum")
SOURCE = Source(
    "arithmetic",
    {
        "unary": (REAL, range(len(UNARY))),
        "unary_back": (REAL, range(len(UNARY))),
        "binary": (REAL, range(len(BINARY))),
        "compare": (REAL, range(len(COMPARE))),
    },
)
AXES = 4


def _unary(code: int) -> Override:
    def forward(outs, saved, x):
        kernel = SOURCE.kernel("unary", x.dtype, code)
        return made([kernel.call(blocks(x.size), (256,), (x, outs[0], x.size))])

    def backward(dins, douts, kept):
        kernel, n = SOURCE.kernel("unary_back", dins[0].dtype, code), dins[0].size
        return made([kernel.call(blocks(n), (256,), (kept.inputs[0], kept.outs[0], douts[0], dins[0], n))])

    return Override(forward, backward)


def _strides(shape: tuple[int, ...], axes: int) -> list[int]:
    """In elements, of a contiguous array seen with so many axes; 0 for those of length 1, which may be repeated."""
    found = [prod(shape[i + 1 :]) if n != 1 else 0 for i, n in enumerate(shape)]
    return [0] * (axes - len(shape)) + found


@lru_cache(4096)
def _walk(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[list[int], list[int], list[int]] | None:
    """The lengths of the output's axes and the strides of both inputs, 0 where one is repeated, over as few axes as
    that takes and with ones in front; None where it takes more than AXES."""
    shape = np.broadcast_shapes(x, y)
    strides = [_strides(a, len(shape)) for a in (x, y)]
    axes: list[tuple[int, int, int]] = []
    for n, s, t in reversed(list(zip(shape, *strides, strict=True))):
        if axes and (s, t) == (axes[0][1] * axes[0][0], axes[0][2] * axes[0][0]):
            axes[0] = (n * axes[0][0], *axes[0][1:])
        elif n != 1:
            axes.insert(0, (n, s, t))
    if len(axes) > AXES:
        return None
    lengths, first, second = zip(*[(1, 0, 0)] * (AXES - len(axes)), *axes, strict=True)
    return list(lengths), list(first), list(second)


def _guard(specs, attrs):
    x, y = specs[0].shape, specs[1].shape
    return floating(specs, attrs) and prod(np.broadcast_shapes(x, y)) < 1 << 31 and _walk(x, y) is not None


def _binary(name: str, code: int) -> Override:
    def forward(outs, saved, x, y):
        walk, out = _walk(x.shape, y.shape), outs[0]
        assert walk is not None
        (_, *lengths), first, second = walk
        args = (x, y, out, *lengths, *first, *second, out.size)
        return made([SOURCE.kernel(name, x.dtype, code).call(blocks(out.size), (256,), args)])

    return Override(forward, guard=_guard)


OVERRIDES = {
    **{name: _unary(code) for code, name in enumerate(UNARY)},
    **{name: _binary("binary", code) for code, name in enumerate(BINARY)},
    **{name: _binary("compare", code) for code, name in enumerate(COMPARE)},
}
