"""out = a @ b for one row: a (K,), b (K, N), out (N,), on the threads of Numba's pool; float32 and float64.

b moves once and is used once: bound by reading it, so there is no panel and no tile here, only loops that LLVM makes
vector code of. One serves contiguous rows of b, the other contiguous columns. Split over N, so that the result does not
depend on the number of threads. On two cores, against OpenBLAS, its
time / ours, rows and columns: 784x300 1.0, 1.3; 300x784 1.4, 1.3; 300x10 1.1, 1.9; 2048x4096 1.0, 1.6.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numpy as np
from numba import from_dtype, types

from xpnn_kernels.numba.jit import kernel, settle
from xpnn_kernels.numba.split import split

SMALL = 100_000  # elements of b below which one thread is faster
ALIGNED = 16  # a share is whole cache lines


@kernel
def combine(a, b, out, n0, n1):
    """out[n0:n1] = sum over k of a[k] b[k, n0:n1], four rows at a time: out moves once for four."""
    part, whole = out[n0:n1], a.size - a.size % 4
    for n in range(part.size):
        part[n] = 0
    for k in range(0, whole, 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k, n0:n1], b[k + 1, n0:n1], b[k + 2, n0:n1], b[k + 3, n0:n1]
        for n in range(part.size):
            part[n] += (a0 * b0[n] + a1 * b1[n]) + (a2 * b2[n] + a3 * b3[n])
    for k in range(whole, a.size):
        last, row = a[k], b[k, n0:n1]
        for n in range(part.size):
            part[n] += last * row[n]


@kernel
def dots(a, b, out, n0, n1):
    """out[n] = sum over k of a[k] b[n, k], for n from n0 to n1: b is (N, K) here."""
    for n in range(n0, n1):
        row, total = b[n], out.dtype.type(0)
        for k in range(a.size):
            total += a[k] * row[k]
        out[n] = total


@kernel
def part(thread, threads, a, b, columns, out, step):
    n0, n1 = min(out.size, thread * step), min(out.size, thread * step + step)
    if columns:
        dots(a, b, out, n0, n1)
    else:
        combine(a, b, out, n0, n1)


@kernel
def parts(threads, a, b, columns, out, step):
    split(part, threads, (a, b, columns, out, step))


def fits(a: np.ndarray, b: np.ndarray, out: np.ndarray) -> bool:
    """Are these for `call`?"""
    whole = b.flags
    return a.flags.c_contiguous and out.flags.c_contiguous and (whole.c_contiguous or whole.f_contiguous)


def call(a: np.ndarray, b: np.ndarray, out: np.ndarray, threads: int) -> Callable[[], None]:
    """out (N,) = a (K,) @ b (K, N), of one dtype, ready to be called. out may not overlap the others."""
    columns = not b.flags.c_contiguous
    threads = 1 if b.size < SMALL else threads
    _prepare(out.dtype)
    step = -(-out.size // (threads * ALIGNED)) * ALIGNED
    return partial(parts, threads, a, b.T if columns else b, columns, out, step)


@cache
def _prepare(dtype):
    """One compilation serves read-only inputs too."""
    scalar = from_dtype(dtype)
    vector, matrix = types.Array(scalar, 1, "C", readonly=True), types.Array(scalar, 2, "C", readonly=True)
    settle(parts, (types.intp, vector, matrix, types.boolean, types.Array(scalar, 1, "C"), types.intp))
