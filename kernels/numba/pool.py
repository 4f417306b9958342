"""Pooling of images (N, H, W, C): what each window gives, and what each pixel is given back.

    largest   reads x, writes y and which element was the first of the largest: 1 byte (4 in windows above 255)
    average   reads x, writes y
    ..._back  reads dy (and that byte), writes dx: each pixel adds up what the windows over it send, so that nothing is
              written twice, threads do not meet, and a sum always has the same order

`shape` is (KH, KW, SH, SW, top, left): window, stride, padding before. Every thread has a share of the rows. A register
tile holds the channels of one pixel, WIDE vectors while there are so many, then one. Bound by memory: 2x2 windows on
64x24x24x64 in float32, two cores, take 0.12 ms forward and 0.22 (largest) or 0.25 (average) back, 50 to 100 GB/s; both
together 4.8 and 3.8 times as fast as PyTorch in channels_last. One vector at a time takes 3 times as long back.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba.jit import kernel

WIDE = 4
zeros_wide, zeros_narrow = simd.zeros(1, WIDE), simd.zeros(1, 1)


@kernel
def _largest(tile, step, x, y, first, shape, r0, r1, c0, c1):
    """The rows r0..r1 of y (a row is n OH + oh), channels c0..c1 in steps of a tile."""
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    for row in range(r0, r1):
        image, h = row // OH * H, row % OH * SH - top
        h0, h1 = max(h, 0), min(h + KH, H)
        for ow in range(OW):
            w = ow * SW - left
            w0, w1 = max(w, 0), min(w + KW, W)
            for c in range(c0, c1, step):
                best = simd.load(tile, x, ((image + h0) * W + w0) * C + c, 0, 1, c1 - c)
                code = vector.full(tile, (h0 - h) * KW + (w0 - w))
                for i in range(h0, h1):
                    for j in range(w0, w1):
                        v = simd.load(tile, x, ((image + i) * W + j) * C + c, 0, 1, c1 - c)
                        code = vector.code_of_larger(v, best, (i - h) * KW + (j - w), code)
                        best = vector.larger(v, best)
                at = (row * OW + ow) * C + c
                simd.store(best, y, at, 0, 1, c1 - c)
                vector.store_codes(code, first, at, c1 - c)


@kernel
def _largest_back(tile, step, dy, first, dx, shape, r0, r1, c0, c1):
    """The rows r0..r1 of dx (a row is n H + h), channels c0..c1."""
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    for row in range(r0, r1):
        image, h = row // H * OH, row % H + top
        i0, i1 = max(0, (h - KH + SH) // SH), min(OH, h // SH + 1)
        j0, j1 = 0, 0
        for w in range(left, left + W):
            while j0 < OW and j0 * SW + KW <= w:
                j0 += 1
            while j1 < OW and j1 * SW <= w:
                j1 += 1
            for c in range(c0, c1, step):
                total = tile
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        at = ((image + i) * OW + j) * C + c
                        d = simd.load(tile, dy, at, 0, 1, c1 - c)
                        code = (h - i * SH) * KW + w - j * SW
                        total = vector.add(total, vector.where_code(d, first, at, c1 - c, code))
                simd.store(total, dx, (row * W + w - left) * C + c, 0, 1, c1 - c)


@kernel
def _share(h, w, shape, H, W, mean):
    """What a window that begins at pixel (h, w) multiplies its sum by: 1, or one over its pixels in the image."""
    rows, columns = min(h + shape[0], H) - max(h, 0), min(w + shape[1], W) - max(w, 0)
    return 1 / (rows * columns) if mean else 1.0


@kernel
def _average(tile, step, x, y, mean, shape, r0, r1, c0, c1):
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = x.shape
    _, OH, OW, _ = y.shape
    for row in range(r0, r1):
        image, h = row // OH * H, row % OH * SH - top
        for ow in range(OW):
            w = ow * SW - left
            share = _share(h, w, shape, H, W, mean)
            for c in range(c0, c1, step):
                total = tile
                for i in range(max(h, 0), min(h + KH, H)):
                    for j in range(max(w, 0), min(w + KW, W)):
                        total = vector.add(total, simd.load(tile, x, ((image + i) * W + j) * C + c, 0, 1, c1 - c))
                simd.store(vector.scale(total, share), y, (row * OW + ow) * C + c, 0, 1, c1 - c)


@kernel
def _average_back(tile, step, dy, dx, mean, shape, r0, r1, c0, c1):
    KH, KW, SH, SW, top, left = shape
    _, H, W, C = dx.shape
    _, OH, OW, _ = dy.shape
    for row in range(r0, r1):
        image, h = row // H * OH, row % H + top
        i0, i1 = max(0, (h - KH + SH) // SH), min(OH, h // SH + 1)
        j0, j1 = 0, 0
        for w in range(left, left + W):
            while j0 < OW and j0 * SW + KW <= w:
                j0 += 1
            while j1 < OW and j1 * SW <= w:
                j1 += 1
            for c in range(c0, c1, step):
                total = tile
                for i in range(i0, i1):
                    for j in range(j0, j1):
                        share = _share(i * SH - top, j * SW - left, shape, H, W, mean)
                        d = simd.load(tile, dy, ((image + i) * OW + j) * C + c, 0, 1, c1 - c)
                        total = vector.add(total, vector.scale(d, share))
                simd.store(total, dx, (row * W + w - left) * C + c, 0, 1, c1 - c)


@kernel
def largest_rows(x, y, first, shape, r0, r1):
    lanes, C = simd.WIDTH // y.itemsize, y.shape[3]
    whole = C - C % (WIDE * lanes)
    if whole:
        _largest(zeros_wide(y), WIDE * lanes, x, y, first, shape, r0, r1, 0, whole)
    if whole < C:
        _largest(zeros_narrow(y), lanes, x, y, first, shape, r0, r1, whole, C)


@kernel
def largest_back_rows(dy, first, dx, shape, r0, r1):
    lanes, C = simd.WIDTH // dy.itemsize, dy.shape[3]
    whole = C - C % (WIDE * lanes)
    if whole:
        _largest_back(zeros_wide(dx), WIDE * lanes, dy, first, dx, shape, r0, r1, 0, whole)
    if whole < C:
        _largest_back(zeros_narrow(dx), lanes, dy, first, dx, shape, r0, r1, whole, C)


@kernel
def average_rows(x, y, mean, shape, r0, r1):
    lanes, C = simd.WIDTH // y.itemsize, y.shape[3]
    whole = C - C % (WIDE * lanes)
    if whole:
        _average(zeros_wide(y), WIDE * lanes, x, y, mean, shape, r0, r1, 0, whole)
    if whole < C:
        _average(zeros_narrow(y), lanes, x, y, mean, shape, r0, r1, whole, C)


@kernel
def average_back_rows(dy, dx, mean, shape, r0, r1):
    lanes, C = simd.WIDTH // dy.itemsize, dy.shape[3]
    whole = C - C % (WIDE * lanes)
    if whole:
        _average_back(zeros_wide(dx), WIDE * lanes, dy, dx, mean, shape, r0, r1, 0, whole)
    if whole < C:
        _average_back(zeros_narrow(dx), lanes, dy, dx, mean, shape, r0, r1, whole, C)


@kernel(parallel=True)
def largest(threads, x, y, first, shape):
    rows = y.shape[0] * y.shape[1]
    for thread in prange(threads):
        t = np.intp(thread)  # Numba's is unsigned
        largest_rows(x, y, first, shape, t * rows // threads, (t + 1) * rows // threads)


@kernel(parallel=True)
def largest_back(threads, dy, first, dx, shape):
    rows = dx.shape[0] * dx.shape[1]
    for thread in prange(threads):
        t = np.intp(thread)
        largest_back_rows(dy, first, dx, shape, t * rows // threads, (t + 1) * rows // threads)


@kernel(parallel=True)
def average(threads, x, y, mean, shape):
    rows = y.shape[0] * y.shape[1]
    for thread in prange(threads):
        t = np.intp(thread)
        average_rows(x, y, mean, shape, t * rows // threads, (t + 1) * rows // threads)


@kernel(parallel=True)
def average_back(threads, dy, dx, mean, shape):
    rows = dx.shape[0] * dx.shape[1]
    for thread in prange(threads):
        t = np.intp(thread)
        average_back_rows(dy, dx, mean, shape, t * rows // threads, (t + 1) * rows // threads)
