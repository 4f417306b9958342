"""Pointwise losses and their derivatives, over rows (R, C).

    forward    out[r] = scale * sum over c of l(y[r, c], t[r, c])      reads y and t: 8 bytes an element in float32
    backward   dy[r, c] = scale * dout[r] * dl/dy                      and writes dy: 12 bytes

Sums are kept in float64: as fast, since memory is the bound, and rounded to float32 once. The derivative is computed
from y and t again, as saving it would move more. Bound by memory (100 GB/s from L2 and L3) but for `logistic`, where
exp, log1p and a division take 0.6 ns an element. Float32 on one core, one call of the backend, against the reference:

    us                    (64, 10)             (64, 300)            (512, 1024)
    squares               3.7 : 6.3            4.3 : 11             42 : 200
    squares_backward      3.8 : 4.2            4.4 : 6.3            61 : 103
    logistic              3.8 : 13             14 : 42              300 : 1010
    logistic_backward     3.9 : 12             13 : 50              280 : 2700
    huber                 3.7 : 8.5            5.0 : 18             47 : 415

3.3 us of each is the call itself. A kernel for each loss, for only those in use are compiled: 0.1 s each, logistic 0.4.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba.activation import sigmoid
from xpnn_kernels.numba.exp import exp
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.log1p import log1p


@kernel
def squares(y, t, scale, out):
    """(y - t)^2."""
    for r in range(y.shape[0]):
        total = 0.0
        for c in range(y.shape[1]):
            e = y[r, c] - t[r, c]
            total += e * e
        out[r] = total * scale


@kernel
def squares_backward(y, t, scale, dout, dy):
    """2 (y - t)."""
    for r in range(y.shape[0]):
        s = y.dtype.type(2 * scale * dout[r])
        for c in range(y.shape[1]):
            dy[r, c] = s * (y[r, c] - t[r, c])


@kernel
def logistic(y, t, scale, out):
    """max(y, 0) - y t + log(1 + exp(-|y|)); NaN for a target outside 0..1."""
    zero, one, nan = y.dtype.type(0), y.dtype.type(1), y.dtype.type(math.nan)
    for r in range(y.shape[0]):
        total = 0.0
        for c in range(y.shape[1]):
            z, q = y[r, c], t[r, c]
            top = zero if z < zero else z
            value = top - z * q + log1p(exp(-abs(z)))
            total += value if q >= zero and q <= one else nan
        out[r] = total * scale


@kernel
def logistic_backward(y, t, scale, dout, dy):
    """sigmoid(y) - t."""
    zero, one, nan = y.dtype.type(0), y.dtype.type(1), y.dtype.type(math.nan)
    for r in range(y.shape[0]):
        s = y.dtype.type(scale * dout[r])
        for c in range(y.shape[1]):
            q = t[r, c]
            dy[r, c] = s * (sigmoid(y[r, c]) - (q if q >= zero and q <= one else nan))


@kernel
def perceptron(y, t, scale, out):
    """max(0, -t y); NaN for a target of 0."""
    zero, nan = y.dtype.type(0), y.dtype.type(math.nan)
    for r in range(y.shape[0]):
        total = 0.0
        for c in range(y.shape[1]):
            value = -t[r, c] * y[r, c]
            value = zero if value < zero else value
            total += nan if t[r, c] == zero else value
        out[r] = total * scale


@kernel
def perceptron_backward(y, t, scale, dout, dy):
    """-t where t y <= 0, else 0."""
    zero, nan = y.dtype.type(0), y.dtype.type(math.nan)
    for r in range(y.shape[0]):
        s = y.dtype.type(scale * dout[r])
        for c in range(y.shape[1]):
            margin = nan if t[r, c] == zero else t[r, c] * y[r, c]
            slope = zero if margin > zero else margin  # NaN stays
            dy[r, c] = s * (-t[r, c] if margin <= zero else slope)


@kernel
def distance(y, t, scale, out):
    """|y - t|."""
    for r in range(y.shape[0]):
        total = 0.0
        for c in range(y.shape[1]):
            total += abs(y[r, c] - t[r, c])
        out[r] = total * scale


@kernel
def distance_backward(y, t, scale, dout, dy):
    """sign(y - t)."""
    zero, one = y.dtype.type(0), y.dtype.type(1)
    for r in range(y.shape[0]):
        s = y.dtype.type(scale * dout[r])
        for c in range(y.shape[1]):
            e = y[r, c] - t[r, c]
            sign = one if e > zero else e  # 0 and NaN stay
            dy[r, c] = s * (-one if e < zero else sign)


@kernel
def huber(y, t, delta, scale, out):
    """m (|y - t| - m / 2) with m = min(|y - t|, delta)."""
    d, half = y.dtype.type(delta), y.dtype.type(0.5)
    for r in range(y.shape[0]):
        total = 0.0
        for c in range(y.shape[1]):
            e = abs(y[r, c] - t[r, c])
            m = d if e > d else e
            total += m * (e - half * m)
        out[r] = total * scale


@kernel
def huber_backward(y, t, delta, scale, dout, dy):
    """y - t, clipped to -delta..delta."""
    d = y.dtype.type(delta)
    for r in range(y.shape[0]):
        s = y.dtype.type(scale * dout[r])
        for c in range(y.shape[1]):
            e = y[r, c] - t[r, c]
            e = d if e > d else e
            dy[r, c] = s * (-d if e < -d else e)
