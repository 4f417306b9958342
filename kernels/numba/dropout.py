"""Dropout, forward and backward, over flat arrays.

forward reads x, writes y and the mask (9 bytes an element in float32) and draws a random word: bound by Philox, 0.4 ns
an element. backward reads dy and the mask and writes dx (9 bytes): bound by memory, 94 GB/s from L2 and L3. The words
are LLVM's vectors (see `philox`: whole numbers, which tiles are not), the rest is tiles. Float32 on one core, us:
(64, 300) 14, (512, 1024) 360, backward there 52; as loops that LLVM made vectors of 14, 380, 53.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba import simd_math as _  # noqa: F401 - * of tiles
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.philox import words
from xpnn_kernels.numba.split import on_threads

BLOCKS = 256  # their 4 KB of words stay in L1
zeros_wide = simd.zeros(1, 4)


@on_threads
def forward(thread, threads, x, state, threshold, scale, y, kept, rooms, lots):
    """kept = word i of the stream >= threshold; y = x scale where kept, x 0 elsewhere. x, y, kept (n,),
    kept uint8.

    rooms (threads, 4, BLOCKS), lots (threads, BLOCKS, 4) uint32: where words are drawn.
    """
    one, tile = vector.full(zeros_wide(x), 1), zeros_wide(x)
    lanes, blocks = rooms[thread], lots[thread]
    drawn = blocks.reshape(-1)
    pieces = -(-x.size // drawn.size)
    for piece in range(pieces * thread // threads, pieces * (thread + 1) // threads):
        start = piece * drawn.size
        words(state, start // 4, lanes, blocks)
        for i in range(start, min(x.size, start + drawn.size), simd.span(tile)):
            left = x.size - i
            passed = vector.where_least(one, drawn, i - start, drawn.size, threshold)
            vector.store_codes(passed, kept, i, left)
            simd.store(simd.load(tile, x, i, 0, 1, left) * vector.scale(passed, scale), y, i, 0, 1, left)


@kernel
def backward(kept, scale, dy, dx):
    """dx = dy scale where kept, dy 0 elsewhere, so that NaN stays. kept uint8, dy, dx (n,)."""
    tile = zeros_wide(dy)
    factor = vector.full(tile, scale)
    for i in range(0, dy.size, simd.span(tile)):
        left = dy.size - i
        simd.store(simd.load(tile, dy, i, 0, 1, left) * vector.where_code(factor, kept, i, left, 1), dx, i, 0, 1, left)
