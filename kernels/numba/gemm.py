"""out = a @ b on the threads of Numba's pool: a (M, K), b (K, N), out (M, N), any strides of a and b, float32, float64.

Split over M or N, never over K: every output is a sum in the same order of k, so that the result does not depend on
the number of threads. A thread copies b piece by piece to PANELS panels (DEPTH x a few vectors), of which the one in
use is in L1, and goes over a block of a (BLOCK bytes, in L2) with a register tile of sums, ROWS x COLUMNS vectors;
bound by the multiply-add units. The rows of a are read where they lie. To copy them first, as is usual, cost a third of
the time of a batch of 64 (x 9216 x 128, x 300 x 10); nothing was faster for it but, with AVX2, a transposed whose rows
are whole pages apart, by 15 %.

A single row or column is for `gemv`; with 2 to 8 rows the panel dominates.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numba import from_dtype, types

from xpnn_kernels.numba import gemv, simd
from xpnn_kernels.numba import threads as pool
from xpnn_kernels.numba.jit import kernel, settle
from xpnn_kernels.numba.rows import add_products
from xpnn_kernels.numba.split import split

ROWS, COLUMNS = (8, 3) if simd.REGISTERS == 32 else (6, 2)
DEPTH = 256
PANELS = max(1, 64 * 1024 // (DEPTH * COLUMNS * simd.WIDTH))
BLOCK = 192 * 1024
SMALL = 400_000  # multiply-adds below which one thread is faster

zeros_narrow, zeros_wide = simd.zeros(ROWS, 1), simd.zeros(ROWS, COLUMNS)
zeros_row, zeros_square = simd.zeros(1, COLUMNS), simd.zeros(0, 1)
new_panels = simd.scratch(PANELS * DEPTH * COLUMNS)


@kernel
def fill(row, square, b, k0, depth, n0, count, panels, width):
    """panels[p, k, n] = b[k0 + k, n0 + p width + n]: depth rows, count columns and then zeros.

    Several panels at once: rows of b may lie far apart, and memory gives more of a row for little.
    """
    sk, sn = b.strides[0] // b.itemsize, b.strides[1] // b.itemsize
    start = k0 * sk + n0 * sn
    if sn == 1:
        for k in range(depth):
            for n in range(0, count, width):
                part = simd.load(row, b, start + k * sk + n, 0, 1, count - n)
                simd.store(part, panels, n * depth + k * width, 0, 1, width)
    elif sk == 1:
        lanes = width // COLUMNS
        for n in range(0, -(-count // width) * width, lanes):
            to = n // width * width * depth + n % width
            for k in range(0, depth, lanes):
                part = simd.transpose(simd.load(square, b, start + n * sn + k, sn, count - n, depth - k))
                simd.store(part, panels, to + k * width, width, depth - k, lanes)
    else:
        for n in range(-(-count // width) * width):
            to = n // width * width * depth + n % width
            for k in range(depth):
                panels[to + k * width] = b[k0 + k, n0 + n] if n < count else 0


@kernel
def strips(tile, a, m0, m1, k0, depth, panels, at, width, c, n0, count, new):
    """c[m0:m1, n0:n0 + count] (+)= a[m0:m1, k0:k0 + depth] @ the panel from panels[at]; `tile` says how wide."""
    sm, sk, sc = a.strides[0] // a.itemsize, a.strides[1] // a.itemsize, c.strides[0] // c.itemsize
    for m in range(m0, m1, ROWS):
        left = m1 - m
        sums = tile if new else simd.load(tile, c, m * sc + n0, sc, left, count)
        sums = add_products(sums, a, m * sm + k0 * sk, sm, left, sk, depth, panels, at, width)
        simd.store(sums, c, m * sc + n0, sc, left, count)


@kernel
def product(a, b, c, m0, m1, n0, n1, new):
    """c[m0:m1, n0:n1] = (a @ b)[m0:m1, n0:n1] if new, else that is added; on one thread."""
    lanes = simd.WIDTH // c.itemsize
    width, K = COLUMNS * lanes, a.shape[1]
    if m0 >= m1 or n0 >= n1:
        return
    pieces = max(1, -(-K // DEPTH))
    depth = -(-K // pieces)
    most = BLOCK // c.itemsize // max(depth, 1) // ROWS * ROWS
    blocks = -(-(m1 - m0) // most)
    height = -(-(m1 - m0) // (blocks * ROWS)) * ROWS
    panels = new_panels(c)
    for m in range(m0, m1, height):
        end = min(m1, m + height)
        for k in range(0, max(K, 1), max(depth, 1)):
            here, fresh = min(depth, K - k), new and k == 0
            for first in range(n0, n1, PANELS * width):
                last = min(first + PANELS * width, n1)
                fill(zeros_row(c), zeros_square(c), b, k, here, first, last - first, panels, width)
                for n in range(first, last, width):
                    at, count = (n - first) * here, last - n
                    if count > lanes:
                        strips(zeros_wide(c), a, m, end, k, here, panels, at, width, c, n, count, fresh)
                    else:
                        strips(zeros_narrow(c), a, m, end, k, here, panels, at, width, c, n, count, fresh)


@kernel
def part(thread, threads, a, b, c, m_step, n_step):
    """A thread's share is m_step rows, or n_step columns (the other step is 0)."""
    (M, N), m, n = c.shape, thread * m_step, thread * n_step
    product(a, b, c, m, min(M, m + m_step) if m_step else M, n, min(N, n + n_step) if n_step else N, True)


@kernel
def parts(threads, a, b, c, m_step, n_step):
    split(part, threads, (a, b, c, m_step, n_step))


def share(M: int, N: int, threads: int, lanes: int) -> tuple[int, int]:
    """(m_step, n_step), such that the slowest thread has least to do, counted in tiles of one vector."""
    tiles, vectors = -(-M // ROWS), -(-N // lanes)
    rows, columns = -(-tiles // threads), -(-vectors // threads)
    if (rows + 0.5) * vectors < (tiles + 0.5) * columns:  # 0.5: filling the panel
        return rows * ROWS, 0
    return 0, columns * lanes


def matmul(a: np.ndarray, b: np.ndarray, out: np.ndarray, threads: int | None = None) -> None:
    """out (M, N), its rows contiguous, = a (M, K) @ b (K, N), of one dtype. out may not overlap the others."""
    call(a, b, out, threads)()


def call(a: np.ndarray, b: np.ndarray, out: np.ndarray, threads: int | None = None) -> Callable[[], None]:
    """What `matmul` would call, ready to be called."""
    (M, N), K, dtype = out.shape, a.shape[1], out.dtype
    if threads is None:
        threads = pool.threads()
    if M == 1 and gemv.fits(a[0], b, out[0]):
        return gemv.call(a[0], b, out[0], threads)
    if N == 1 and gemv.fits(b[:, 0], a, out[:, 0]):
        return gemv.call(b[:, 0], a.T, out[:, 0], threads)
    threads = 1 if M * N * K < SMALL else threads
    _prepare(dtype)
    return partial(parts, threads, a, b, out, *share(M, N, threads, simd.WIDTH // dtype.itemsize))


@cache
def _prepare(dtype):
    """One compilation serves all strides and read-only inputs."""
    scalar = from_dtype(dtype)
    matrix, out = types.Array(scalar, 2, "A", readonly=True), types.Array(scalar, 2, "A")
    settle(parts, (types.intp, matrix, matrix, out, types.intp, types.intp))
