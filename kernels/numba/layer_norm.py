"""Layer normalisation of the rows of x (R, C): one pass over memory forward, one backward.

forward reads x and writes y (8 bytes an element in float32), backward reads x and dy and writes dx (12); a row is in L1
when it is read again, for its variance and for the result. Bound by memory. Each thread has a share of the rows, and
adds what they give to the gradients of gamma and beta in an array of its own; these are added up in their order.

Measured on two cores, 4096x512 forward and backward: 0.81 ms, PyTorch 1.74.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba import simd_math as _  # noqa: F401 - + - * of tiles
from xpnn_kernels.numba.split import on_threads

WIDE = 4
zeros_wide = simd.zeros(1, WIDE)


@on_threads
def forward(thread, threads, x, gamma, beta, eps, mean, rstd, y):
    """gamma, beta (C,), or (0,) for 1 and 0; mean, rstd (R,)."""
    tile, (R, C) = zeros_wide(x), x.shape
    step = WIDE * simd.WIDTH // x.itemsize
    one = vector.full(tile, 1)
    for r in range(thread * R // threads, (thread + 1) * R // threads):
        start, end = r * C, r * C + C
        first = vector.full(tile, x[r, 0])  # a mean far from 0 costs no digits
        total = tile
        for i in range(start, end, step):
            total = total + vector.only(simd.load(tile, x, i, 0, 1, end - i) - first, end - i, 0)
        shifted = vector.total(total) / C
        mu, total = x[r, 0] + shifted, tile
        middle = vector.full(tile, mu)
        for i in range(start, end, step):
            far = vector.only(simd.load(tile, x, i, 0, 1, end - i) - middle, end - i, 0)
            total = total + far * far
        factor = 1 / math.sqrt(vector.total(total) / C + eps)
        mean[r], rstd[r] = mu, factor
        for i in range(start, end, step):
            left = end - i
            h = vector.scale(simd.load(tile, x, i, 0, 1, left) - middle, factor)
            g = simd.load(tile, gamma, i - start, 0, 1, left) if gamma.size else one
            b = simd.load(tile, beta, i - start, 0, 1, left) if beta.size else tile
            simd.store(h * g + b, y, i, 0, 1, left)


@on_threads
def backward(thread, threads, x, dy, gamma, mean, rstd, dx, dgammas, dbetas):
    """dgammas, dbetas (threads, C) are of a thread's rows alone; dx may be empty: not wanted."""
    tile, (R, C), dgamma, dbeta = zeros_wide(x), x.shape, dgammas[thread], dbetas[thread]
    step = WIDE * simd.WIDTH // x.itemsize
    one = vector.full(tile, 1)
    for i in range(0, C, step):
        simd.store(tile, dgamma, i, 0, 1, C - i)
        simd.store(tile, dbeta, i, 0, 1, C - i)
    for r in range(thread * R // threads, (thread + 1) * R // threads):
        start, end = r * C, r * C + C
        middle, factor = vector.full(tile, mean[r]), rstd[r]
        total, inner = tile, tile
        for i in range(start, end, step):
            left, c = end - i, i - start
            d = simd.load(tile, dy, i, 0, 1, left)
            h = vector.scale(simd.load(tile, x, i, 0, 1, left) - middle, factor)
            slope = d * h
            simd.store(simd.load(tile, dgamma, c, 0, 1, left) + slope, dgamma, c, 0, 1, left)
            simd.store(simd.load(tile, dbeta, c, 0, 1, left) + d, dbeta, c, 0, 1, left)
            g = simd.load(tile, gamma, c, 0, 1, left) if gamma.size else one
            total, inner = total + d * g, inner + vector.only(slope * g, left, 0)
        plain, slanted = vector.full(tile, vector.total(total) / C), vector.total(inner) / C
        for i in range(start, end if len(dx) else start, step):
            left = end - i
            g = simd.load(tile, gamma, i - start, 0, 1, left) if gamma.size else one
            dh = simd.load(tile, dy, i, 0, 1, left) * g
            h = vector.scale(simd.load(tile, x, i, 0, 1, left) - middle, factor)
            simd.store(vector.scale(dh - plain - vector.scale(h, slanted), factor), dx, i, 0, 1, left)
