"""What normalisation does with the columns (channels) of a matrix of rows: moments, sums and an affine map.

    moments   reads x             the mean, and the sum of squares about it, of each column
    sums      reads x and dy      the sums of dy and of dy (x - mean) of each column
    line      reads x             y = a (x - mean) + b
    line_back reads x and dy      dx = a dy + c (x - mean) + b

Nothing else moves, so all are bound by memory, and each thread has a share of the rows. A mean far from 0 costs no
digits: x is taken relative to a row of it, BLOCK rows are summed twice while they are in L1, and blocks and threads are
put together as Chan, Golub and LeVeque (The American Statistician 37, 1983) do. A register tile holds WIDE vectors of
columns while there are so many, then one.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba import simd_math as _  # noqa: F401 - + - * of tiles
from xpnn_kernels.numba.jit import kernel

WIDE = 4 if simd.REGISTERS == 32 else 2
BLOCK = 64
zeros_wide, zeros_narrow = simd.zeros(1, WIDE), simd.zeros(1, 1)


@kernel
def _moments(tile, x, first, r0, r1, c, count, mean, squares):
    """The columns c..c + count of the rows r0..r1."""
    C = x.shape[1]
    shift = simd.load(tile, x, first * C + c, 0, 1, count)
    mu, spread = tile, tile
    for r in range(r0, r1, BLOCK):
        end = min(r + BLOCK, r1)
        total = tile
        for i in range(r, end):
            total = total + (simd.load(tile, x, i * C + c, 0, 1, count) - shift)
        here = vector.scale(total, 1 / (end - r))
        for i in range(r, end):
            far = (simd.load(tile, x, i * C + c, 0, 1, count) - shift) - here
            spread = spread + far * far
        apart, seen = here - mu, r - r0
        share = (end - r) / (end - r0)
        mu = mu + vector.scale(apart, share)
        spread = spread + vector.scale(apart * apart, share * seen)
    simd.store(mu + shift, mean, c, 0, 1, count)
    simd.store(spread, squares, c, 0, 1, count)


@kernel
def moments(x, first, r0, r1, mean, squares):
    """Of the rows r0..r1 of x (R, C): the mean, and the sum of squares about it, (C,). first: a row with numbers of
    the size that is to be expected."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    c = 0
    while C - c >= WIDE * lanes:
        _moments(zeros_wide(x), x, first, r0, r1, c, WIDE * lanes, mean, squares)
        c += WIDE * lanes
    while c < C:
        _moments(zeros_narrow(x), x, first, r0, r1, c, C - c, mean, squares)
        c += lanes


@kernel
def _sums(tile, x, dy, mean, r0, r1, c, count, plain, slanted):
    C = x.shape[1]
    middle = simd.load(tile, mean, c, 0, 1, count)
    total, inner = tile, tile
    for r in range(r0, r1, BLOCK):
        block, slope = tile, tile
        for i in range(r, min(r + BLOCK, r1)):
            d = simd.load(tile, dy, i * C + c, 0, 1, count)
            block = block + d
            slope = slope + d * (simd.load(tile, x, i * C + c, 0, 1, count) - middle)
        total, inner = total + block, inner + slope
    simd.store(total, plain, c, 0, 1, count)
    simd.store(inner, slanted, c, 0, 1, count)


@kernel
def sums(x, dy, mean, r0, r1, plain, slanted):
    """plain (C,) = the sum of dy over the rows r0..r1, slanted (C,) that of dy (x - mean)."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    c = 0
    while C - c >= WIDE * lanes:
        _sums(zeros_wide(x), x, dy, mean, r0, r1, c, WIDE * lanes, plain, slanted)
        c += WIDE * lanes
    while c < C:
        _sums(zeros_narrow(x), x, dy, mean, r0, r1, c, C - c, plain, slanted)
        c += lanes


@kernel
def _line(tile, x, mean, a, b, r0, r1, c, count, y):
    C = x.shape[1]
    middle, factor = simd.load(tile, mean, c, 0, 1, count), simd.load(tile, a, c, 0, 1, count)
    term = simd.load(tile, b, c, 0, 1, count)
    for i in range(r1 - 1, r0 - 1, -1):  # backwards: the last rows that were read are still in the cache
        at = i * C + c
        simd.store((simd.load(tile, x, at, 0, 1, count) - middle) * factor + term, y, at, 0, 1, count)


@kernel
def line(x, mean, a, b, r0, r1, y):
    """y = a (x - mean) + b in the rows r0..r1; mean, a, b (C,)."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    c = 0
    while C - c >= WIDE * lanes:
        _line(zeros_wide(x), x, mean, a, b, r0, r1, c, WIDE * lanes, y)
        c += WIDE * lanes
    while c < C:
        _line(zeros_narrow(x), x, mean, a, b, r0, r1, c, C - c, y)
        c += lanes


@kernel
def _line_back(tile, x, dy, mean, a, b, slope, r0, r1, c, count, dx):
    C = x.shape[1]
    middle, factor = simd.load(tile, mean, c, 0, 1, count), simd.load(tile, a, c, 0, 1, count)
    term, slant = simd.load(tile, b, c, 0, 1, count), simd.load(tile, slope, c, 0, 1, count)
    for i in range(r1 - 1, r0 - 1, -1):
        at = i * C + c
        far = simd.load(tile, x, at, 0, 1, count) - middle
        simd.store(simd.load(tile, dy, at, 0, 1, count) * factor + (far * slant + term), dx, at, 0, 1, count)


@kernel
def line_back(x, dy, mean, a, b, slope, r0, r1, dx):
    """dx = a dy + slope (x - mean) + b in the rows r0..r1; mean, a, b, slope (C,)."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    c = 0
    while C - c >= WIDE * lanes:
        _line_back(zeros_wide(x), x, dy, mean, a, b, slope, r0, r1, c, WIDE * lanes, dx)
        c += WIDE * lanes
    while c < C:
        _line_back(zeros_narrow(x), x, dy, mean, a, b, slope, r0, r1, c, C - c, dx)
        c += lanes
