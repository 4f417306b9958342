"""Matrix products as the bindings speak of them, and the tiles that they are made of: of kernels with gemm.cuh.

The choice depends on sizes only, not on the GPU, so that sums are added in the same order on every one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from xpnn.backends.cupy.formats import FORMATS
from xpnn.backends.cupy.module import REAL
from xpnn.core.op import Spec

TILES = {form: (16, 64) if form == "double" else (16, 32, 64, 128) for form in FORMATS}
"""The sides of the tiles of each format: a larger one would take more registers than two blocks may have."""
KERNELS = (tuple(f"{name}, {side}" for name, sides in TILES.items() for side in sides),)
"""The template arguments of a kernel that is written for any tile."""
ENOUGH = 128
"""Blocks that occupy a GPU: a larger tile reads less, but fewer of them leave multiprocessors idle."""
LONG = 8
"""Steps of K that a block takes at the least where blocks share K: the second launch costs as much as some."""
SMALL = 16
"""The side of tiles whose K blocks may share."""
STEP = {np.dtype(np.float32): 128, np.dtype(np.float64): 64}
"""How much of K the smallest tile takes in a step."""


def tiles(M: int, N: int, side: int) -> int:
    return -(-M // side) * -(-N // side)


def choose(dtype: np.dtype, products: Sequence[tuple[int, int, int]]) -> int:
    """The largest side that fills the GPU and not mostly empty tiles; products: (M, N, how many), in one launch."""
    shortest = min(min(M, N) for M, N, _ in products)
    sides = TILES[REAL[dtype.itemsize == 8]]  # those of every format for the dtype
    for side in reversed(sides):
        if 2 * shortest > side and sum(tiles(M, N, side) * count for M, N, count in products) >= ENOUGH:
            return side
    return sides[0]


def parts(dtype: np.dtype, side: int, blocks: int, K: int, summed: int = 1) -> int:
    """How many blocks share K: several where there are few blocks and many steps."""
    if side != SMALL:
        return 1
    return max(1, min(ENOUGH // blocks, -(-K // STEP[dtype]) * summed // LONG))


class Axis(NamedTuple):
    """A batch axis: its length, and how far apart in each operand the products are; 0: the same for all."""

    length: int
    a: int
    b: int


def shared(parts: int, size: int, dtype: np.dtype) -> list[Spec]:
    """The scratch that blocks need to share K: an array with the results of each, or none."""
    return [Spec((parts * size,), dtype)] * (parts > 1)


NONE = Axis(1, 0, 0)


class Product(NamedTuple):
    """out (outer, inner, M, N) = sum over `summed` of A (M, K) B (K, N), all contiguous in out."""

    M: int
    N: int
    K: int
    a: tuple[int, int]
    """How far apart the rows of A are, and its columns; one of them is 1."""
    b: tuple[int, int]
    """How far apart the columns of B are, and its rows."""
    dtype: np.dtype
    outer: Axis = NONE
    inner: Axis = NONE
    summed: Axis = NONE

    @property
    def batch(self) -> int:
        return self.outer.length * self.inner.length

    @property
    def side(self) -> int:
        return choose(self.dtype, [(self.M, self.N, self.batch)])

    @property
    def parts(self) -> int:
        there = self.batch * tiles(self.M, self.N, self.side)
        return parts(self.dtype, self.side, there, self.K, self.summed.length)

    @property
    def scratch(self) -> list[Spec]:
        """The sums of the parts, where there are several."""
        return shared(self.parts, self.batch * self.M * self.N, self.dtype)
