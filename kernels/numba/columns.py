"""What normalisation does with the columns (channels) of a matrix of rows: moments, sums and an affine map.

    moments   reads x             the mean, and the sum of squares about it, of each column
    sums      reads x and dy      the sums of dy and of dy (x - mean) of each column
    line      reads x             y = a (x - mean) + b
    line_back reads x and dy      dx = a dy + c (x - mean) + b

Nothing else moves, so all are bound by memory, and each thread has a share of the rows. A mean far from 0 costs no
digits: x is taken relative to a row of it, a block of rows is summed twice while it is in L1, and blocks and threads
are put together as Chan, Golub and LeVeque (The American Statistician 37, 1983) do. A register tile holds WIDE vectors
of columns while there are so many, then PAIR, then one; rows of less than a line of the cache cost twice as much.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, stream, vector
from xpnn_kernels.numba import simd_math as _  # noqa: F401 - + - * of tiles
from xpnn_kernels.numba.jit import kernel

WIDE, PAIR = 8, 2
BLOCK = 64
zeros_wide, zeros_pair, zeros_one = simd.zeros(1, WIDE), simd.zeros(1, PAIR), simd.zeros(1, 1)


@kernel
def _height(C):
    """So many rows at a time: a few KB, so that memory is read as it lies, and what is read twice is in L1."""
    return max(1, min(BLOCK, 4096 // C))


@kernel
def _next(left, lanes):
    """How many of the columns that are left go into a tile."""
    return WIDE * lanes if left >= WIDE * lanes else PAIR * lanes if left >= PAIR * lanes else lanes


@kernel
def _moments(tile, x, first, r0, r, end, c, count, mean, squares):
    """Put the rows r..end to those from r0 on, of which mean (less a row of x, `first`) and squares are known."""
    C = x.shape[1]
    shift = simd.load(tile, x, first * C + c, 0, 1, count)
    total = tile
    for i in range(r, end):
        total = total + (simd.load(tile, x, i * C + c, 0, 1, count) - shift)
        stream.ahead(tile, x, i * C + c + stream.AHEAD)
    here, spread = vector.scale(total, 1 / (end - r)), tile
    for i in range(r, end):
        far = (simd.load(tile, x, i * C + c, 0, 1, count) - shift) - here
        spread = spread + far * far
    if r > r0:
        mu = simd.load(tile, mean, c, 0, 1, count)
        apart, seen, share = here - mu, r - r0, (end - r) / (end - r0)
        here = mu + vector.scale(apart, share)
        spread = simd.load(tile, squares, c, 0, 1, count) + (spread + vector.scale(apart * apart, share * seen))
    simd.store(here, mean, c, 0, 1, count)
    simd.store(spread, squares, c, 0, 1, count)


@kernel
def moments(x, first, r0, r1, mean, squares):
    """Of the rows r0..r1 of x (R, C): the mean, and the sum of squares about it, (C,). first: a row with numbers of
    the size that is to be expected."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    height = _height(C)
    for r in range(r0, r1, height):
        end = min(r + height, r1)
        c = 0
        while c < C:
            count = _next(C - c, lanes)
            if count == WIDE * lanes:
                _moments(zeros_wide(x), x, first, r0, r, end, c, count, mean, squares)
            elif count == PAIR * lanes:
                _moments(zeros_pair(x), x, first, r0, r, end, c, count, mean, squares)
            else:
                _moments(zeros_one(x), x, first, r0, r, end, c, C - c, mean, squares)
            c += count
    for c in range(C):
        mean[c] += x[first, c]


@kernel
def _sums(tile, x, dy, mean, new, r, end, c, count, plain, slanted):
    C = x.shape[1]
    middle = simd.load(tile, mean, c, 0, 1, count)
    total, inner = tile, tile
    for i in range(r, end):
        at = i * C + c
        d = simd.load(tile, dy, at, 0, 1, count)
        total = total + d
        inner = inner + d * (simd.load(tile, x, at, 0, 1, count) - middle)
        stream.ahead(tile, x, at + stream.AHEAD)
        stream.ahead(tile, dy, at + stream.AHEAD)
    if not new:
        total = simd.load(tile, plain, c, 0, 1, count) + total
        inner = simd.load(tile, slanted, c, 0, 1, count) + inner
    simd.store(total, plain, c, 0, 1, count)
    simd.store(inner, slanted, c, 0, 1, count)


@kernel
def sums(x, dy, mean, r0, r1, plain, slanted):
    """plain (C,) = the sum of dy over the rows r0..r1, slanted (C,) that of dy (x - mean)."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    height = _height(C)
    for c in range(C if r0 == r1 else 0):
        plain[c] = slanted[c] = 0
    for r in range(r0, r1, height):
        end = min(r + height, r1)
        c = 0
        while c < C:
            count = _next(C - c, lanes)
            if count == WIDE * lanes:
                _sums(zeros_wide(x), x, dy, mean, r == r0, r, end, c, count, plain, slanted)
            elif count == PAIR * lanes:
                _sums(zeros_pair(x), x, dy, mean, r == r0, r, end, c, count, plain, slanted)
            else:
                _sums(zeros_one(x), x, dy, mean, r == r0, r, end, c, C - c, plain, slanted)
            c += count


@kernel
def _line(tile, x, mean, a, b, r, end, c, count, y, past):
    C = x.shape[1]
    middle, factor = simd.load(tile, mean, c, 0, 1, count), simd.load(tile, a, c, 0, 1, count)
    term = simd.load(tile, b, c, 0, 1, count)
    for i in range(r, end):
        at = i * C + c
        stream.store((simd.load(tile, x, at, 0, 1, count) - middle) * factor + term, y, at, count, past)
        stream.ahead(tile, x, at + stream.AHEAD)


@kernel
def line(x, mean, a, b, r0, r1, y, past):
    """y = a (x - mean) + b in the rows r0..r1; mean, a, b (C,). past: see `stream`."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    height = _height(C)
    for r in range(r0, r1, height):
        end = min(r + height, r1)
        c = 0
        while c < C:
            count = _next(C - c, lanes)
            if count == WIDE * lanes:
                _line(zeros_wide(x), x, mean, a, b, r, end, c, count, y, past)
            elif count == PAIR * lanes:
                _line(zeros_pair(x), x, mean, a, b, r, end, c, count, y, past)
            else:
                _line(zeros_one(x), x, mean, a, b, r, end, c, C - c, y, past)
            c += count
    stream.settle()


@kernel
def _line_back(tile, x, dy, mean, a, b, slope, r, end, c, count, dx, past):
    C = x.shape[1]
    middle, factor = simd.load(tile, mean, c, 0, 1, count), simd.load(tile, a, c, 0, 1, count)
    term, slant = simd.load(tile, b, c, 0, 1, count), simd.load(tile, slope, c, 0, 1, count)
    for i in range(r, end):
        at = i * C + c
        far = simd.load(tile, x, at, 0, 1, count) - middle
        stream.ahead(tile, x, at + stream.AHEAD)
        stream.ahead(tile, dy, at + stream.AHEAD)
        stream.store(simd.load(tile, dy, at, 0, 1, count) * factor + (far * slant + term), dx, at, count, past)


@kernel
def line_back(x, dy, mean, a, b, slope, r0, r1, dx, past):
    """dx = a dy + slope (x - mean) + b in the rows r0..r1; mean, a, b, slope (C,)."""
    lanes, C = simd.WIDTH // x.itemsize, x.shape[1]
    height = _height(C)
    for r in range(r0, r1, height):
        end = min(r + height, r1)
        c = 0
        while c < C:
            count = _next(C - c, lanes)
            if count == WIDE * lanes:
                _line_back(zeros_wide(x), x, dy, mean, a, b, slope, r, end, c, count, dx, past)
            elif count == PAIR * lanes:
                _line_back(zeros_pair(x), x, dy, mean, a, b, slope, r, end, c, count, dx, past)
            else:
                _line_back(zeros_one(x), x, dy, mean, a, b, slope, r, end, c, C - c, dx, past)
            c += count
    stream.settle()
