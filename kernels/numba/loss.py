"""Pointwise losses and their derivatives, over rows (R, C): a formula each, of the vectors of a tile.

    forward    out[r] = scale * sum over c of l(y[r, c], t[r, c])      reads y and t: 8 bytes an element in float32
    backward   dy[r, c] = scale * dout[r] * dl/dy                      and writes dy: 12 bytes

Sums are kept in float64: as fast, since memory is the bound, and rounded to float32 once. The derivative is computed
from y and t again, as saving it would move more. Bound by memory (100 GB/s from L2 and L3) but for `logistic`, where
exp, log1p and a division take 0.6 ns an element. One function holds all of them and picks by code (see `activation`).
"""

from __future__ import annotations

import math

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba import simd_math as _  # noqa: F401 - + of tiles
from xpnn_kernels.numba.formulas import exp_down, log1p, sigmoid
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lanewise import at_least, at_most, one_of, where


def _share(t):
    """A target within 0..1, or NaN."""
    return where((t >= 0) & (t <= 1), t, math.nan)


def _side(t):
    """A target that is not 0, or NaN: labels 0 and 1 in the place of -1 and 1."""
    return where((t > 0) | (t < 0), t, math.nan)


def _perceptron_back(y, t):
    margin = _side(t) * y
    return where(margin <= 0, -t, at_most(margin, 0))


def _sign(e):
    """0 and NaN stay."""
    return where(e > 0, 1, where(e < 0, -1, e))


def _huber(y, t, delta):
    e = abs(y - t)
    m = where(e > delta, delta, e)
    return m * (e - 0.5 * m)


# name: l(y, t, delta) and its derivative by y
FORMULAS = {
    "squares": (lambda y, t, d: (y - t) * (y - t), lambda y, t, d: 2 * (y - t)),
    "logistic": (
        lambda y, t, d: at_least(y, 0) - y * _share(t) + log1p(exp_down(-abs(y))),
        lambda y, t, d: sigmoid(y) - _share(t),
    ),
    "perceptron": (lambda y, t, d: at_least(-_side(t) * y, 0), lambda y, t, d: _perceptron_back(y, t)),
    "distance": (lambda y, t, d: abs(y - t), lambda y, t, d: _sign(y - t)),
    "huber": (_huber, lambda y, t, d: at_least(at_most(y - t, d), -d)),
}
CODES = {name: code for code, name in enumerate(FORMULAS)}
value = one_of([pair[0] for pair in FORMULAS.values()])
gradient = one_of([pair[1] for pair in FORMULAS.values()])

zeros_wide = simd.zeros(1, 2)


@kernel
def forward(code, delta, y, t, scale, out):
    """out (R,) of y, t (R, C)."""
    tile, d = zeros_wide(y), y.dtype.type(delta)
    (R, C), step = y.shape, simd.span(tile)
    for r in range(R):
        total = vector.widened(tile)
        for c in range(0, C, step):
            at, left = r * C + c, C - c
            part = value(code, simd.load(tile, y, at, 0, 1, left), simd.load(tile, t, at, 0, 1, left), d)
            if left < step:
                part = vector.only(part, left, 0)
            total = total + vector.widened(part)
        out[r] = vector.total(total) * scale


@kernel
def backward(code, delta, y, t, scale, dout, dy):
    """dy (R, C) of dout (R,)."""
    tile, d = zeros_wide(y), y.dtype.type(delta)
    (R, C), step = y.shape, simd.span(tile)
    for r in range(R):
        s = y.dtype.type(scale * dout[r])
        for c in range(0, C, step):
            at, left = r * C + c, C - c
            slope = gradient(code, simd.load(tile, y, at, 0, 1, left), simd.load(tile, t, at, 0, 1, left), d)
            simd.store(vector.scale(slope, s), dy, at, 0, 1, left)
