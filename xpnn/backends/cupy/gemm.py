"""Which tiles a matrix product is made of: what the bindings of kernels that include gemm.cuh share.

The choice depends on sizes only, not on the GPU, so that sums are added in the same order on every one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from xpnn.backends.cupy.module import REAL

TILES = ((16, 32, 64, 128), (16, 64))
"""The sides of the tiles, of float32 and float64: the others would take more registers than two blocks may have."""
KERNELS = (tuple(f"{name}, {side}" for name, sides in zip(REAL, TILES, strict=True) for side in sides),)
"""The template arguments of a kernel that is written for any tile."""
ENOUGH = 128
"""Blocks that occupy a GPU: a larger tile reads less, but fewer of them leave multiprocessors idle."""
LONG = 8
"""Steps of K that a block takes at the least where blocks share K: the second launch costs as much as some."""
STEP = {np.dtype(np.float32): 128, np.dtype(np.float64): 64}
"""How much of K the smallest tile takes in a step."""


def tiles(M: int, N: int, side: int) -> int:
    return -(-M // side) * -(-N // side)


def choose(dtype: np.dtype, products: Sequence[tuple[int, int, int]]) -> int:
    """The largest side that fills the GPU and not mostly empty tiles; products: (M, N, how many), in one launch."""
    shortest = min(min(M, N) for M, N, _ in products)
    for side in reversed(TILES[dtype.itemsize == 8]):
        if 2 * shortest > side and sum(tiles(M, N, side) * count for M, N, count in products) >= ENOUGH:
            return side
    return TILES[0][0]


def parts(dtype: np.dtype, side: int, blocks: int, K: int, summed: int = 1) -> int:
    """How many blocks share K: several where there are few blocks and many steps."""
    if side != TILES[0][0]:
        return 1
    return max(1, min(ENOUGH // blocks, -(-K // STEP[dtype]) * summed // LONG))
