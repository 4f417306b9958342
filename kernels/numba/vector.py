"""Arithmetic between the tiles of `simd`, lane by lane, and tiles of small whole numbers (codes) in integer arrays.

A code is a lane's floating-point value, a whole number, while it is in a register.
"""

from __future__ import annotations

import operator

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from xpnn_kernels.numba import edge
from xpnn_kernels.numba.lanewise import of_tiles, where
from xpnn_kernels.numba.simd import I32, INT, WORD, Tile, _pack, _splat, _start, _unpack

full = of_tiles(lambda x, value: value)
"""full(x, value): a number in every lane of a tile like x."""
add = of_tiles(operator.add)
"""add(x, y): x + y, a tile or a number."""
scale = of_tiles(operator.mul)
"""scale(x, factor): x factor, a number."""
add_product = of_tiles(lambda x, y, z: x * y + z)
"""add_product(x, y, z): x y + z."""
greater = of_tiles(lambda x, y: where(x > y, x, y))
"""greater(x, y): the larger of the two in each lane, y where either is NaN."""


def _stays(x, best):
    return (x <= best) | best.is_nan()


larger = of_tiles(lambda x, best: where(_stays(x, best), best, x))
"""larger(x, best): the larger of the two, `best` where they are equal; the first that is NaN."""
code_of_larger = of_tiles(lambda x, best, code, codes: where(_stays(x, best), codes, code))
"""code_of_larger(x, best, code, codes): `code`, a number, where `larger` takes x; `codes` elsewhere."""


@intrinsic
def only(typing, x, count, other):
    """The first `count` lanes of a tile of one row; `other`, a number, in those beyond."""

    def generate(context, builder, signature, values):
        vectors, number = _unpack(builder, x, values[0]), _splat(builder, values[2], x.lanes)
        left = _splat(builder, builder.trunc(values[1], I32), x.lanes)
        lane = ir.VectorType(I32, x.lanes)
        lanes = [ir.Constant(lane, [c * x.lanes + i for i in range(x.lanes)]) for c in range(x.columns)]
        kept = [builder.icmp_signed("<", lane, left) for lane in lanes]
        return _pack(builder, x, [builder.select(k, v, number) for k, v in zip(kept, vectors, strict=True)])

    return x(x, INT, x.dtype), generate


def _fold(x, function):
    """A code generator: all lanes of a tile to one number, by a function of two vectors; halves, quarters, ..."""

    def generate(context, builder, signature, values):
        vectors = _unpack(builder, x, values[0])
        while len(vectors) > 1:
            vectors = [function(builder, *vectors[i : i + 2]) for i in range(0, len(vectors) - 1, 2)] + (
                vectors[-1:] if len(vectors) % 2 else []
            )
        v, half = vectors[0], x.lanes // 2
        while half:
            order = ir.Constant(ir.VectorType(I32, x.lanes), [(i + half) % x.lanes for i in range(x.lanes)])
            v = function(builder, v, builder.shuffle_vector(v, v, order))
            half //= 2
        return builder.extract_element(v, I32(0))

    return generate


@intrinsic
def total(typing, x):
    """The sum of all lanes."""
    return x.dtype(x), _fold(x, lambda builder, a, b: builder.fadd(a, b))


@intrinsic
def top(typing, x):
    """The largest lane; any of them where some are NaN."""
    return x.dtype(x), _fold(x, lambda builder, a, b: builder.select(builder.fcmp_ordered(">", a, b), a, b))


def _codes(context, builder, tile, array, place, vectors):
    """Store the vectors of codes, or load them if none are given, one row of the tile: as `simd._move`."""
    target, index, count = place
    vector = ir.VectorType(ir.IntType(array.dtype.bitwidth), tile.lanes)
    start = _start(context, builder, array, target, index)
    whole = builder.icmp_signed(">=", count, WORD(tile.columns * tile.lanes))
    codes = [builder.fptoui(v, vector) for v in vectors or ()]

    def at(c):
        return builder.gep(start, [WORD(c * tile.lanes)])

    def left(c):
        return builder.sub(count, WORD(c * tile.lanes))

    return edge.move(builder, tile, vector, codes, whole, at, left)


@intrinsic
def store_codes(typing, tile, array, index, count):
    """Codes as whole numbers, a tile of one row."""
    return (
        types.void(tile, array, INT, INT),
        lambda context, builder, signature, values: (
            _codes(context, builder, tile, array, values[1:], _unpack(builder, tile, values[0]))
            and context.get_dummy_value()
        ),
    )


def _tested(tile, array, test):
    """The lanes of a tile of one row whose codes in the array pass a test of two vectors, 0 elsewhere."""

    def generate(context, builder, signature, values):
        vectors = _unpack(builder, tile, values[0])
        found = _codes(context, builder, tile, array, values[1:4], None)
        number = _splat(builder, builder.trunc(values[4], ir.IntType(array.dtype.bitwidth)), tile.lanes)
        kept = [test(builder, codes, number) for codes in found]
        return _pack(builder, tile, [builder.select(k, v, tile.zero) for k, v in zip(kept, vectors, strict=True)])

    return tile(tile, array, INT, INT, types.int64), generate


@intrinsic
def where_code(typing, tile, array, index, count, code):
    """The lanes of a tile of one row whose code in the array is this one, 0 elsewhere."""
    return _tested(tile, array, lambda builder, codes, code: builder.icmp_signed("==", codes, code))


@intrinsic
def where_least(typing, tile, array, index, count, least):
    """The lanes of a tile of one row whose unsigned number in the array is this or more, 0 elsewhere."""
    return _tested(tile, array, lambda builder, codes, least: builder.icmp_unsigned(">=", codes, least))


@intrinsic
def widened(typing, tile):
    """A tile of one row in float64, in the order of its elements."""
    wide = Tile(types.float64, 1, tile.columns * 8 // tile.size)

    def generate(context, builder, signature, values):
        vectors = _unpack(builder, tile, values[0])
        if tile == wide:
            return values[0]
        halves = [list(range(i, i + wide.lanes)) for i in (0, wide.lanes)]
        halves = [ir.Constant(ir.VectorType(I32, wide.lanes), lanes) for lanes in halves]
        parts = [builder.shuffle_vector(v, v, half) for v in vectors for half in halves]
        return _pack(builder, wide, [builder.fpext(part, wide.vector) for part in parts])

    return wide(tile), generate
