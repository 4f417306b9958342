"""Activations, forward and backward: a formula each, of the vectors of a tile.

forward reads x and writes y (2 x 4 bytes an element in float32); backward reads the kept array and dy and writes dx
(12 bytes). Below the L2 size both are bound by arithmetic, above it by memory. One function holds all of them, so that
an op compiles one kernel, and whoever fuses an activation has it of a tile in registers; it is picked by code, a jump
that is foreseen, for a tile of WIDE vectors at a time.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba import formulas, simd
from xpnn_kernels.numba.formulas import exp_down, expm1_down, log1p, sigmoid, sigmoids, tanh
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lanewise import at_least, at_most, one_of, where
from xpnn_kernels.numba.split import on_threads

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


def _gelu_inner(x):
    """z in 0.5 x (1 + tanh(z / 2)) = x sigmoid(z)."""
    return 2 * GELU_SCALE * (x + GELU_CUBIC * x * x * x)


def _gelu_back(x, dy):
    x = at_least(at_most(x, 25), -25)  # beyond, the slope is 0 or 1 in both dtypes, and x * x * x would overflow
    s, rest = sigmoids(_gelu_inner(x))
    return dy * s * (1 + x * rest * (2 * GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x)))


def _silu_back(x, dy):
    s, rest = sigmoids(x)
    return dy * s * (1 + x * rest)


# name: y = f(x, p), dx = dy f'(x) of what is kept, dy and p. Kept is x for leaky_relu, gelu and silu, y for the others.
FORMULAS = {
    None: (lambda x, p: x, lambda y, dy, p: dy),
    "relu": (lambda x, p: formulas.relu(x), lambda y, dy, p: where(y > 0, dy, 0 * dy)),
    "sigmoid": (lambda x, p: sigmoid(x), lambda y, dy, p: dy * y * (1 - y)),
    "tanh": (lambda x, p: tanh(x), lambda y, dy, p: dy * (1 - y * y)),
    "leaky_relu": (lambda x, p: where(x > 0, x, p * x), lambda x, dy, p: where(x > 0, dy, p * dy)),
    "elu": (lambda x, p: where(x > 0, x, p * expm1_down(x)), lambda y, dy, p: where(y > 0, dy, dy * (y + p))),
    "gelu": (lambda x, p: x * sigmoid(_gelu_inner(x)), lambda x, dy, p: _gelu_back(x, dy)),
    "silu": (lambda x, p: x * sigmoid(x), lambda x, dy, p: _silu_back(x, dy)),
    "softplus": (lambda x, p: at_least(x, 0) + log1p(exp_down(-abs(x))), lambda y, dy, p: dy * -expm1_down(-y)),
    "hard_sigmoid": (
        lambda x, p: at_most(at_least(x * (1 / 6) + 0.5, 0), 1),
        lambda y, dy, p: dy * where((y > 0) & (y < 1), 1 / 6, y.like(0)),
    ),
}
CODES = {name: code for code, name in enumerate(FORMULAS)}
NONE = CODES[None]

value = one_of([forward for forward, _ in FORMULAS.values()])
"""value(code, x, p): f(x) of a tile; p: the slope of leaky_relu, the alpha of elu."""
gradient = one_of([backward for _, backward in FORMULAS.values()])
"""gradient(code, kept, dy, p): dy f'(x) of tiles."""

WIDE = 4
zeros_wide, zeros_one = simd.zeros(1, WIDE), simd.zeros(1, 1)


@kernel
def _values(tile, code, p, x, y, i, end):
    """From i on while there are whole tiles, or to the end if a tile is a vector: where it came to."""
    step = simd.span(tile)
    while i < end:
        simd.store(value(code, simd.load(tile, x, i, 0, 1, end - i), p), y, i, 0, 1, end - i)
        i += step


@on_threads
def forward(thread, threads, code, parameter, x, y):
    """y = f(x). x, y (n,), may be one array; each thread has a stretch of whole cache lines."""
    part = -(-x.size // (16 * threads)) * 16
    i, p = min(x.size, thread * part), x.dtype.type(parameter)
    _values(zeros_wide(x), code, p, x, y, i, min(x.size, i + part))


@kernel
def _gradients(tile, code, p, kept, dy, dx, i, end):
    step = simd.span(tile)
    while i < end:
        d = gradient(code, simd.load(tile, kept, i, 0, 1, end - i), simd.load(tile, dy, i, 0, 1, end - i), p)
        simd.store(d, dx, i, 0, 1, end - i)
        i += step


@on_threads
def backward(thread, threads, code, parameter, kept, dy, dx):
    """dx = dy f'(x). kept, dy, dx (n,); dy and dx may be one array."""
    part = -(-dy.size // (16 * threads)) * 16
    i, p = min(dy.size, thread * part), dy.dtype.type(parameter)
    _gradients(zeros_wide(dy), code, p, kept, dy, dx, i, min(dy.size, i + part))
