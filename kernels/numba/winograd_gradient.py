"""The weight gradient of Winograd's convolution, dw = G^T [sum over tiles of (B^T d B) * (A dz A^T)] G.

The sum is 36 matrix products, C x tiles by tiles x O, over blocks of tiles that stay in the cache. A thread has
sums of its own, which are then added in the order of the threads: the same bits every time. On the way dz = dy f'(z) is
written, which the input gradient reads, and db is summed: a pixel belongs to one tile.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from xpnn_kernels.numba import activation, simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.winograd import (
    OUT,
    POSITIONS,
    STEP,
    TAPS,
    inputs,
    locate,
    padded,
    piece_width,
    products,
    zeros_one,
    zeros_out,
    zeros_side,
    zeros_wide,
)
from xpnn_kernels.numba.winograd_tile import A, G, load_patch, plus, sandwich, span, total

deactivate = activation.backward
transform_gradient, inverse_filter = sandwich(A), sandwich(G.T)


def sums_size(C: int, O: int, lanes: int) -> int:
    """How many numbers a thread's sums take: one for each position, c and o, and the bias's after them."""
    return (POSITIONS * -(-C // STEP) * STEP + 1) * padded(O, lanes)


@kernel
def gradients(dz, start, count, first, width, work, at, step, db):
    """(A dz A^T)[p, k, o] of `count` tiles and the piece of columns that begins at `first`; db += their sums."""
    _, P, Q, O = dz.shape
    lanes = span(zeros_one(dz))
    for k in range(count):
        n, h, w = locate(dz, start + k)
        for o in range(first, min(O, first + width), lanes):
            index = ((n * P + h) * Q + w) * O + o
            d = load_patch(zeros_out(dz), dz, index, Q * O, O, 0, P - h, 0, Q - w, O - o)
            simd.store(transform_gradient(d), work, at + k * width + o - first, step, POSITIONS, lanes)
            simd.store(plus(simd.load(zeros_one(dz), db, o, 0, 1, lanes), total(d)), db, o, 0, 1, lanes)


@kernel
def accumulate(x, dy, kept, code, parameter, dz, wanted, sums, top, left, work, block, first, last):
    """The sums over the tiles from first to last, db's alone unless `wanted`; without activation dz is dy."""
    C, (_, P, Q, O) = x.shape[3], dz.shape
    lanes, full = span(zeros_one(x)), span(zeros_wide(x))
    pitch, deep = -(-C // lanes) * lanes, -(-C // STEP) * STEP
    v_step, w_step = block * pitch + lanes, block * full + lanes
    g = POSITIONS * v_step
    last_piece = (O - 1) // full * full
    db = sums[POSITIONS * deep * (last_piece + piece_width(x, O, last_piece)) :]
    for o in range(db.size):
        db[o] = 0
    source, given, taken = kept.reshape(-1), dy.reshape(-1), dz.reshape(-1)
    for start in range(first, last, block):
        count = min(block, last - start)
        if code != activation.NONE:
            for k in range(count):
                n, h, w = locate(dz, start + k)
                for r in range(h, min(P, h + OUT)):
                    i, j = ((n * P + r) * Q + w) * O, ((n * P + r) * Q + min(Q, w + OUT)) * O
                    deactivate(code, parameter, source[i:j], given[i:j], taken[i:j])
        if wanted:
            inputs(x, dz, top, left, start, count, work, v_step)
        for o in range(0, O, full):
            width = piece_width(x, O, o)
            gradients(dz, start, count, o, width, work, g, w_step, db)
            to, new = o * POSITIONS * deep, start == first
            if wanted:
                products(width, work, 0, v_step, 1, pitch, work, g, w_step, count, sums, to, deep * width, C, new)


@kernel(parallel=True)
def accumulate_on_threads(
    x, dy, kept, code, parameter, dz, wanted, sums, top, left, work, block, tiles, share, threads
):
    for thread in prange(threads):
        t = np.intp(thread)
        first, last = t * share, min(tiles, t * share + share)
        accumulate(x, dy, kept, code, parameter, dz, wanted, sums[t], top, left, work[t], block, first, last)


@kernel
def finish(sums, parts, dw, db, c0, c1):
    """dw[:, :, c0:c1] and, with the first, db: from the sums of `parts` threads; db (0,) for none."""
    _, _, C, O = dw.shape
    lanes, full, deep, size = span(zeros_one(dw)), span(zeros_wide(dw)), -(-C // STEP) * STEP, sums.shape[1]
    for c in range(c0, c1):
        for o in range(0, O, lanes):
            first = o // full * full
            width = piece_width(dw, O, first)
            at = first * POSITIONS * deep + c * width + o - first
            whole = zeros_side(dw)
            for part in range(parts):
                whole = plus(whole, simd.load(whole, sums, part * size + at, deep * width, POSITIONS, lanes))
            simd.store(inverse_filter(whole), dw, c * O + o, C * O, TAPS * TAPS, O - o)
    if c0 == 0:
        last_piece = (O - 1) // full * full
        at = POSITIONS * deep * (last_piece + piece_width(dw, O, last_piece))
        for o in range(db.size):
            db[o] = 0
            for part in range(parts):
                db[o] += sums[part, at + o]


@kernel(parallel=True)
def finish_on_threads(sums, parts, dw, db, share, threads):
    for thread in prange(threads):
        t = np.intp(thread)
        finish(sums, parts, dw, db, t * share, min(dw.shape[2], t * share + share))
