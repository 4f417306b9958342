"""Philox 4x32-10: the words of a stream, a block of four from each counter (see xpnn/core/random.py).

Reads nothing and writes 4 bytes a word; bound by the 20 products of 32 by 32 bits a block: 0.3 ns a word with AVX-512,
2.1 where LLVM does not vectorise. Two things keep it from that, so neither is done here: a function of all ten rounds
(too large to inline into the loop), and a store of four neighbours at the end of each block.
"""

from __future__ import annotations

import numpy as np

from xpnn_kernels.numba.jit import kernel

MULTIPLIER0, MULTIPLIER1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
WEYL0, WEYL1 = np.uint64(0x9E3779B9), np.uint64(0xBB67AE85)
MASK = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@kernel
def _round(c0, c1, c2, c3, k0, k1):
    p0, p1 = MULTIPLIER0 * c0, MULTIPLIER1 * c2
    return (p1 >> HALF) ^ c1 ^ k0, p1 & MASK, (p0 >> HALF) ^ c3 ^ k1, p0 & MASK


@kernel
def words(state, first, lanes, out):
    """Blocks first, first + 1, ... of the stream and draw that state (4,) uint32 names.

    out (blocks, 4) uint32; lanes (4, blocks) uint32 is room to work in.
    """
    k0, k1, d0, d1 = np.uint64(state[0]), np.uint64(state[1]), np.uint64(state[2]), np.uint64(state[3])
    start = np.uint64(first)
    w0, w1, w2, w3 = lanes[0], lanes[1], lanes[2], lanes[3]
    for b in range(w0.size):
        c0, c1, c2, c3 = (start + np.uint64(b)) & MASK, np.uint64(0), d0, d1
        key0, key1 = k0, k1
        for _ in range(10):
            c0, c1, c2, c3 = _round(c0, c1, c2, c3, key0, key1)
            key0, key1 = (key0 + WEYL0) & MASK, (key1 + WEYL1) & MASK
        w0[b], w1[b], w2[b], w3[b] = c0, c1, c2, c3
    for b in range(w0.size):
        out[b, 0], out[b, 1], out[b, 2], out[b, 3] = w0[b], w1[b], w2[b], w3[b]


@kernel
def next_draw(state, out):
    """out (4,) = state (4,) with its draw, of 64 bits, one higher; the same array, maybe."""
    draw = (np.uint64(state[3]) << HALF | np.uint64(state[2])) + np.uint64(1)
    out[0], out[1], out[2], out[3] = state[0], state[1], draw & MASK, draw >> HALF
