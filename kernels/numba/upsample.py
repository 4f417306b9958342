"""Upsampling of images (N, H, W, C) along straight lines between pixels; copies of pixels are `pool.backward`.

forward reads x and writes y, four pixels of x for one of y; backward reads dy and writes dx, where each pixel adds up
its share of all new pixels around it, so that nothing is written twice and threads do not meet. A share of the rows a
thread; bound by the loads, which L1 serves, two vectors a cycle.
"""

from __future__ import annotations

import numpy as np

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.split import on_threads

zeros = simd.zeros(1, 1)


@kernel(fastmath={"contract"})  # a true quotient: a product with 1 / factor leaves shares that should be 0
def _place(o, factor, size):
    """Where the new pixel o lies between the old ones."""
    return min(max((o + 0.5) / factor - 0.5, 0.0), size - 1.0)


@kernel(fastmath={"contract"})
def _neighbours(o, factor, size):
    """The old pixels that the new pixel o lies between, and how far from the first of them (one pixel is 1)."""
    s = _place(o, factor, size)
    low = np.intp(s)
    share = s - low
    return low, low + 1 if share > 0 else low, share  # a pixel without a share may be NaN


@on_threads
def bilinear(thread, threads, x, y, factor):
    """A row of y is n OH + oh."""
    _, H, W, C = x.shape
    N, OH, OW, _ = y.shape
    for row in range(thread * N * OH // threads, (thread + 1) * N * OH // threads):
        h0, h1, s = _neighbours(row % OH, factor[0], H)
        image = row // OH * H
        for ow in range(OW):
            w0, w1, t = _neighbours(ow, factor[1], W)
            for c in range(0, C, simd.WIDTH // y.itemsize):
                total = zeros(y)
                for h, share in ((h0, 1 - s), (h1, s)):
                    a = simd.load(total, x, ((image + h) * W + w0) * C + c, 0, 1, C - c)
                    b = simd.load(total, x, ((image + h) * W + w1) * C + c, 0, 1, C - c)
                    total = vector.add(total, vector.scale(a, share * (1 - t)))
                    total = vector.add(total, vector.scale(b, share * t))
                simd.store(total, y, (row * OW + ow) * C + c, 0, 1, C - c)


@on_threads
def bilinear_back(thread, threads, dy, dx, factor):
    """A row of dx is n H + h."""
    N, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    FH, FW = factor
    for row in range(thread * N * H // threads, (thread + 1) * N * H // threads):
        image, h = row // H * OH, row % H
        i0, i1 = max(0, h * FH - FH // 2), min(OH, (h + 1) * FH + FH // 2)
        for w in range(W):
            j0, j1 = max(0, w * FW - FW // 2), min(OW, (w + 1) * FW + FW // 2)
            for c in range(0, C, simd.WIDTH // dx.itemsize):
                total = zeros(dx)
                for i in range(i0, i1):
                    share = 1 - abs(_place(i, FH, H) - h)
                    for j in range(j0, j1):
                        d = simd.load(total, dy, ((image + i) * OW + j) * C + c, 0, 1, C - c)
                        total = vector.add(total, vector.scale(d, share * (1 - abs(_place(j, FW, W) - w))))
                simd.store(total, dx, (row * W + w) * C + c, 0, 1, C - c)
