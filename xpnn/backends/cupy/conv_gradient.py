"""Gradients of a convolution's weights and bias on CUDA: parts of the pixels, and the sum of the parts."""

from __future__ import annotations

from typing import NamedTuple

from xpnn.backends.cupy import conv_direct
from xpnn.backends.cupy.conv_shape import Shape
from xpnn.backends.cupy.formats import FORMATS, format_of
from xpnn.backends.cupy.module import REAL, Source
from xpnn.core.op import Spec


class Tile(NamedTuple):
    columns: int
    cost: float
    """Of a sum in it: a small one reads more for each (an estimate)."""


TILES = {64: Tile(64, 1.0), 16: Tile(32, 1.5)}
"""By their rows."""
SOURCE = Source("conv_gradient", {"products": (FORMATS, tuple(TILES)), "add": (REAL,)})
BLOCKS = 528
"""Twice as many as an H100 has at work, two on each of its 132 multiprocessors: the last ones are a small part."""
PIXELS = 256
"""Of a part, unless there are fewer."""
LANES = 16
"""Threads that share the sum of so many parts or more."""


class Plan(NamedTuple):
    rows: int
    """Of a block; 0: sums one by one."""
    tiles: int
    """Of dw in a group, or in all where sums are formed one by one."""
    parts: int
    share: int
    """Pixels of a part."""


def plan(shape: Shape) -> Plan:
    """By sizes alone, so that sums are added in the same order on every GPU."""
    pixels, rows = shape.N * shape.P * shape.Q, 0
    if shape.direct:
        tiles = conv_direct.tiles(shape)
        parts = conv_direct.BLOCKS // tiles
    else:
        rows = min(TILES, key=lambda m: _tiles(shape, m) * m * TILES[m].columns * TILES[m].cost)
        tiles = _tiles(shape, rows)
        parts = BLOCKS // (tiles * shape.groups)
    share = -(-pixels // max(1, min(-(-pixels // PIXELS), parts)))
    return Plan(rows, tiles, -(-pixels // share), share)


def _tiles(shape: Shape, rows: int) -> int:
    """Of dw and the bias's row."""
    return -(-(shape.taps + 1) // rows) * -(-shape.O // shape.groups // TILES[rows].columns)


def room(shape: Shape, dtype, bias: int) -> Spec:
    """The parts, one after the other: the weights' gradient, then that of so many biases."""
    return Spec((plan(shape).parts * (shape.weights + bias),), dtype)


def calls(shape: Shape, precision, images, relu, work, dw, db, *, turned=False):
    """The launches that fill dw and db, of which one may be None.

    images: the large one, what tells its derivative or None, the small one and the same of it. turned: the large one is
    the gradient, whose sum db then is.
    """
    p = plan(shape)
    length, made = work.size // p.parts, []
    if turned and db is not None:
        made.append(_bias(shape, images, relu, work, p.parts, length))
    rows = shape.taps + (db is not None and not turned)
    args = (*images, relu, turned, rows, p.share, length, work, shape)
    if shape.direct:
        made.append(_direct(p.tiles, p.parts, args))
    else:
        kernel = SOURCE.kernel("products", format_of(work.dtype, precision), p.rows)
        made.append(kernel.call((p.tiles, p.parts, shape.groups), (256,), args))
    lanes = LANES if p.parts >= LANES else 1
    total = (work, p.parts, lanes, length, shape.weights, dw, db)
    made.append(SOURCE.kernel("add", work.dtype).call((-(-length * lanes // 256),), (256,), total))
    return made


def _bias(shape: Shape, images, relu, work, parts, length):
    """The sums of the large image, which no product adds up: of a small one without windows."""
    large, kept = images[:2]
    lone = Shape(shape.N, 1, 1, 1, shape.H, shape.W, shape.C, 0, 0, 1, 1, 1, 1, 0, 0, 1)
    share = -(-shape.N * shape.H * shape.W // parts)
    args = (None, None, large, kept, relu, False, 1, share, length, work[shape.weights :], lone)
    return _direct(conv_direct.tiles(lone), parts, args)


def _direct(tiles, parts, args):
    return conv_direct.SOURCE.kernel("direct_weights", args[2].dtype).call((tiles, parts), (256,), args)
