"""How the columns of a matrix are shared among the blocks of CUDA kernels: see kernels/cuda/columns.cuh."""

from __future__ import annotations

THREADS = (512,)


def width_of(C: int) -> int:
    """A power of two that holds so many columns, 32 at the most."""
    return min(32, 1 << max(C - 1, 0).bit_length())


class Tiles:
    """Of a matrix (R, C): how wide a tile is, how many there are, and in how many parts the rows go.

    The numbers depend on the shape only, so that sums are added in the same order on every GPU.
    """

    __slots__ = ("C", "R", "parts", "tiles", "width")

    def __init__(self, R: int, C: int, most: int = 256) -> None:
        """most: blocks."""
        self.R, self.C = R, C
        self.width = width_of(C)
        self.tiles = -(-C // self.width)
        lanes = THREADS[0] // self.width
        # Eight rows a thread at the least; every block that needs the sums reads those of all parts.
        self.parts = max(1, min(R // (8 * lanes), most // self.tiles, 128))

    def grid(self, parts: int) -> tuple[int, int]:
        return self.tiles, parts

    def blocks(self) -> tuple[int, int]:
        """A grid for passes without sums: a few rows a thread."""
        lanes = THREADS[0] // self.width
        return self.tiles, max(1, min(-(-self.R // (4 * lanes)), 512 // self.tiles))
