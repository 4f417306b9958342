"""Elementwise arithmetic on CUDA: a kernel for each function and each derivative."""

from __future__ import annotations

import numpy as np

from xpnn.backends.cupy import broadcast
from xpnn.backends.cupy.broadcast import sums, walk
from xpnn.backends.cupy.module import INTEGER, REAL, WHOLE_DTYPES, Source, blocks
from xpnn.backends.cupy.reduction import launches
from xpnn.core.arithmetic import COMPARE
from xpnn.core.contract import Override, floating, made

# In the order of arithmetic.cu.
UNARY = ("negative", "abs", "exp", "log", "sqrt", "square", "sign", "sin", "cos")
BINARY = ("add", "subtract", "multiply", "maximum", "minimum", "divide", "power")
SOURCE = Source(
    "arithmetic",
    {
        "unary": (REAL, range(len(UNARY))),
        "unary_back": (REAL, range(len(UNARY))),
        "binary": (REAL, range(len(BINARY))),
        "compare": (REAL, range(len(COMPARE))),
    },
)
WHOLE = Source("arithmetic", {"binary": (INTEGER, range(5)), "compare": ((*INTEGER, "bool"), range(len(COMPARE)))})
# In the order of arithmetic_gradient.cu.
SAME, NEGATED, FACTOR, DIVIDEND, DIVISOR, BASE, EXPONENT, LARGER = range(8)
GRADIENT = Source("arithmetic_gradient", {"gradient": (REAL, range(8))})
GRADIENTS = {
    "add": ((SAME, False), (SAME, True)),
    "subtract": ((SAME, False), (NEGATED, True)),
    "multiply": ((FACTOR, False), (FACTOR, True)),
    "divide": ((DIVIDEND, False), (DIVISOR, True)),
    "power": ((BASE, False), (EXPONENT, True)),
    "maximum": ((LARGER, False), (LARGER, True)),
    "minimum": ((LARGER, True), (LARGER, False)),
}
"""By x and by y: the derivative, and whether it sees x and y exchanged."""


def _unary(code: int) -> Override:
    def forward(outs, saved, x):
        kernel = SOURCE.kernel("unary", x.dtype, code)
        return made([kernel.call(blocks(x.size), (256,), (x, outs[0], x.size))])

    def backward(dins, douts, kept):
        kernel, n = SOURCE.kernel("unary_back", dins[0].dtype, code), dins[0].size
        return made([kernel.call(blocks(n), (256,), (kept.inputs[0], kept.outs[0], douts[0], dins[0], n))])

    return Override(forward, backward)


def _broadcast(kernel: str, code: int) -> Override:
    def forward(outs, saved, x, y, work=()):
        source, out = SOURCE if x.dtype.kind == "f" else WHOLE, outs[0]
        args = (x, y, out, walk(x.shape, y.shape), out.size)
        return made([source.kernel(kernel, x.dtype, code).call(blocks(out.size), (256,), args)])

    return Override(forward, guard=_guard)


def _guard(specs, attrs):
    served = floating(specs, attrs) or specs[0].dtype in WHOLE_DTYPES
    return served and walk(specs[0].shape, specs[1].shape) is not None


def _binary(name: str, code: int) -> Override:
    def backward(dins, douts, kept, work):
        dz, calls = douts[0], []
        for dx, (derivative, exchanged) in zip(dins, GRADIENTS[name], strict=True):
            if dx is not None:
                kernel = GRADIENT.kernel("gradient", dz.dtype, derivative)
                order = slice(None, None, -1 if exchanged else 1)
                shapes = [spec.shape for spec in kept.specs[order]]
                calls += launches(kernel, (*kept.inputs[order], dz), *sums(dx.shape, *shapes, dz.shape), dx, work)
        return made(calls)

    return _broadcast("binary", code)._replace(backward=backward, work=_work)


def _work(phase, x, y):
    shapes = x.shape, y.shape
    return broadcast.work(x.dtype, shapes, *shapes, np.broadcast_shapes(*shapes)) if phase == "backward" else ()


OVERRIDES = {
    **{name: _unary(code) for code, name in enumerate(UNARY)},
    **{name: _binary(name, code) for code, name in enumerate(BINARY)},
    **{name: _broadcast("compare", code) for code, name in enumerate(COMPARE)},
}
