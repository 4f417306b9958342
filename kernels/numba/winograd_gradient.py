"""The weight gradient of Winograd's convolution, dw = G^T [sum over tiles of (B^T d B) * (A dz A^T)] G.

The sum is 36 matrix products, C x tiles by tiles x O, over blocks of tiles that stay in the cache. A thread has
sums of its own, which are then added in the order of the threads: the same bits every time. On the way a ReLU's
dz = dy where y > 0 is written, which the input gradient reads, and db is summed: a pixel belongs to one tile.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lines import mask
from xpnn_kernels.numba.split import on_threads
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
def mask_tiles(dy, kept, dz, image, start, count):
    """dz = dy where kept > 0, else 0 dy, in `count` tiles; flat arrays."""
    _, P, Q, O = image.shape
    for k in range(count):
        n, h, w = locate(image, start + k)
        for r in range(h, min(P, h + OUT)):
            i, j = ((n * P + r) * Q + w) * O, ((n * P + r) * Q + min(Q, w + OUT)) * O
            mask(dy[i:j], kept[i:j], dz[i:j])


@on_threads
def accumulate(thread, threads, x, dy, kept, masked, dz, wanted, parts, top, left, rooms, block, tiles, share):
    """The sums over the thread's `share` of the tiles, db's alone unless `wanted`; dz is dy unless `masked`."""
    C, O, sums, work = x.shape[3], dz.shape[3], parts[thread], rooms[thread]
    lanes, full = span(zeros_one(x)), span(zeros_wide(x))
    pitch, deep = -(-C // lanes) * lanes, -(-C // STEP) * STEP
    v_step, w_step = block * pitch + lanes, block * full + lanes
    g, first, last = POSITIONS * v_step, thread * share, min(tiles, thread * share + share)
    last_piece = (O - 1) // full * full
    db = sums[POSITIONS * deep * (last_piece + piece_width(x, O, last_piece)) :]
    for o in range(db.size):
        db[o] = 0
    flat = dy.reshape(-1), kept.reshape(-1), dz.reshape(-1)
    for start in range(first, last, block):
        count = min(block, last - start)
        if masked:
            mask_tiles(*flat, dz, start, count)
        if wanted:
            inputs(x, dz, top, left, start, count, work, v_step)
        for o in range(0, O, full):
            width = piece_width(x, O, o)
            gradients(dz, start, count, o, width, work, g, w_step, db)
            to, new = o * POSITIONS * deep, start == first
            if wanted:
                products(width, work, 0, v_step, 1, pitch, work, g, w_step, count, sums, to, deep * width, C, new)


@on_threads
def finish(thread, threads, sums, parts, dw, db, share):
    """dw, a `share` of its channels a thread, and, with the first, db: from the sums of `parts` threads."""
    _, _, C, O = dw.shape
    lanes, full, deep, size = span(zeros_one(dw)), span(zeros_wide(dw)), -(-C // STEP) * STEP, sums.shape[1]
    for c in range(thread * share, min(C, thread * share + share)):
        for o in range(0, O, lanes):
            first = o // full * full
            width = piece_width(dw, O, first)
            at = first * POSITIONS * deep + c * width + o - first
            whole = zeros_side(dw)
            for part in range(parts):
                whole = plus(whole, simd.load(whole, sums, part * size + at, deep * width, POSITIONS, lanes))
            simd.store(inverse_filter(whole), dw, c * O + o, C * O, TAPS * TAPS, O - o)
    if thread == 0:
        last_piece = (O - 1) // full * full
        at = POSITIONS * deep * (last_piece + piece_width(dw, O, last_piece))
        for o in range(db.size):
            db[o] = 0
            for part in range(parts):
                db[o] += sums[part, at + o]
