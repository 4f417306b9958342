"""Gradients of a convolution's weights and bias on CUDA: parts of the pixels, and the sum of the parts."""

from __future__ import annotations

from typing import NamedTuple

from xpnn.backends.cupy import conv_direct
from xpnn.backends.cupy.conv_shape import Shape
from xpnn.backends.cupy.module import REAL, Source
from xpnn.core.op import Spec

TILES = {64: (64, 1.0), 16: (32, 1.5)}
"""Rows of a block: its columns, and what a sum costs in it, as the small one reads more for each (an estimate)."""
SOURCE = Source("conv_gradient", {"products": (REAL, tuple(TILES)), "add": (REAL,)})
BLOCKS = {"products": 264, "direct_weights": 1056}
"""As many as an H100 has at work at once: 2 or 8 on each of its 132 multiprocessors."""
PIXELS = 256
"""Of a part at the least."""
LANES = 16


class Plan(NamedTuple):
    kernel: str
    rows: int
    """Of a block."""
    tiles: int
    parts: int
    share: int
    """Pixels of a part."""


def plan(shape: Shape) -> Plan:
    """By sizes alone, so that sums are added in the same order on every GPU."""
    pixels, columns = shape.N * shape.P * shape.Q, shape.O // shape.groups
    if shape.direct:
        kernel, rows, tiles = "direct_weights", 0, conv_direct.tiles(shape)
        blocks = tiles
    else:
        options = {m: (-(-(shape.taps + 1) // m), -(-columns // n), m * n * cost) for m, (n, cost) in TILES.items()}
        kernel, rows = "products", min(options, key=lambda m: options[m][0] * options[m][1] * options[m][2])
        tiles = options[rows][0] * options[rows][1]
        blocks = tiles * shape.groups
    share = -(-pixels // max(1, min(-(-pixels // PIXELS), BLOCKS[kernel] // blocks)))
    return Plan(kernel, rows, tiles, -(-pixels // share), share)


def room(shape: Shape, dtype, bias: int) -> Spec:
    """The parts, one after the other: the weights' gradient, then that of so many biases."""
    return Spec((plan(shape).parts * (shape.weights + bias),), dtype)


def calls(shape: Shape, images, relu, work, dw, db, *, turned=False):
    """The launches that fill dw and db, of which one may be None.

    images: the large one, what tells its derivative or None, the small one and the same of it. turned: the large one is
    the gradient, whose sum db then is.
    """
    p = plan(shape)
    length, made = work.size // p.parts, []
    if turned and db is not None:
        made.append(_bias(shape, images, relu, work, p.parts, length))
    rows = shape.taps + (db is not None and not turned)
    args = (*images, relu, turned, rows, p.share, length, work, *shape)
    if p.kernel == "products":
        kernel, grid = SOURCE.kernel("products", work.dtype, p.rows), (p.tiles, p.parts, shape.groups)
    else:
        kernel, grid = conv_direct.SOURCE.kernel("direct_weights", work.dtype), (p.tiles, p.parts)
    made.append(kernel.call(grid, (256,), args))
    lanes = LANES if p.parts >= LANES else 1
    total = (work, p.parts, lanes, length, shape.weights, dw, db)
    made.append(SOURCE.kernel("add", work.dtype).call((-(-length * lanes // 256),), (256,), total))
    return made


def _bias(shape: Shape, images, relu, work, parts, length):
    """The sums of the large image, which no product adds up: of a small one without windows."""
    large, kept = images[:2]
    lone = Shape(shape.N, 1, 1, 1, shape.H, shape.W, shape.C, 0, 0, 1, 1, 1, 1, 0, 0, 1)
    share = -(-shape.N * shape.H * shape.W // parts)
    args = (None, None, large, kept, relu, False, 1, share, length, work[shape.weights :], *lone)
    return conv_direct.SOURCE.kernel("direct_weights", work.dtype).call((conv_direct.tiles(lone), parts), (256,), args)
