"""Arithmetic between the tiles of `simd`, lane by lane, and tiles of small whole numbers (codes) in integer arrays.

A code is a lane's floating-point value, a whole number, while it is in a register.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from xpnn_kernels.numba import edge, simd
from xpnn_kernels.numba.exp import LN2_HIGH, LN2_LOW, LOG2E, LOWEST, POLYNOMIAL
from xpnn_kernels.numba.simd import I32, INT, WORD, _pack, _splat, _start, _unpack


def _lanewise(tile, function):
    """A code generator: function(builder, a vector of every argument that is a tile, splat of one that is a number)."""

    def generate(context, builder, signature, values):
        columns = [
            _unpack(builder, tile, value)
            if isinstance(kind, simd.Tile)
            else [_splat(builder, value, tile.lanes)] * (tile.rows * tile.columns)
            for kind, value in zip(signature.args, values, strict=True)
        ]
        return _pack(builder, tile, [function(builder, *vectors) for vectors in zip(*columns, strict=True)])

    return generate


@intrinsic
def full(typing, x, value):
    """`value`, a number, in every lane of a tile like x."""
    return x(x, x.dtype), _lanewise(x, lambda builder, x, value: value)


@intrinsic
def add(typing, x, y):
    """x + y, a tile or a number."""
    other = y if isinstance(y, simd.Tile) else x.dtype
    return x(x, other), _lanewise(x, lambda builder, x, y: builder.fadd(x, y, simd.FUSED))


@intrinsic
def add_product(typing, x, y, z):
    """x y + z."""
    return x(x, x, x), _lanewise(
        x, lambda builder, x, y, z: builder.fadd(builder.fmul(x, y, simd.FUSED), z, simd.FUSED)
    )


@intrinsic
def scale(typing, x, factor):
    """x factor, a number."""
    return x(x, x.dtype), _lanewise(x, lambda builder, x, factor: builder.fmul(x, factor, simd.FUSED))


@intrinsic
def larger(typing, x, best):
    """The larger of the two, `best` where they are equal; the first that is NaN."""
    return x(x, x), _lanewise(x, lambda builder, x, best: builder.select(_beats(builder, x, best), x, best))


@intrinsic
def code_of_larger(typing, x, best, code, codes):
    """`code`, a number, where `larger` takes x; `codes` elsewhere."""
    return x(x, x, x.dtype, x), _lanewise(
        x, lambda builder, x, best, code, codes: builder.select(_beats(builder, x, best), code, codes)
    )


def _beats(builder, x, best):
    return builder.and_(builder.fcmp_unordered(">", x, best), builder.fcmp_ordered("ord", best, best))


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


@intrinsic
def greater(typing, x, y):
    """The larger of the two in each lane, y where either is NaN."""
    return x(x, x), _lanewise(x, lambda builder, x, y: builder.select(builder.fcmp_ordered(">", x, y), x, y))


@intrinsic
def exp_down(typing, x):
    """e to the power x for x <= 0 or NaN: the polynomial of `exp` in float32, libm's, lane by lane, in float64.

    Below 2^-126 the float32 result is 0, which costs less than the last few powers of two.
    """
    return x(x), _lanewise(x, _exp32 if x.size == 4 else _exp64)


def _exp64(builder, x):
    function = ir.FunctionType(ir.DoubleType(), [ir.DoubleType()])
    function = cgutils.get_or_insert_function(builder.module, function, "llvm.exp.f64")
    y = x
    for i in range(x.type.count):
        y = builder.insert_element(y, builder.call(function, [builder.extract_element(x, I32(i))]), I32(i))
    return y


def _exp32(builder, x):
    n, whole = x.type.count, ir.VectorType(I32, x.type.count)

    def every(value):
        return ir.Constant(x.type, [float(np.float32(value))] * n)

    def fused(a, b, c):
        return builder.fadd(builder.fmul(a, b, simd.FUSED), c, simd.FUSED)

    x = builder.select(builder.fcmp_ordered("<", x, every(LOWEST)), every(LOWEST), x)
    floor = cgutils.get_or_insert_function(builder.module, ir.FunctionType(x.type, [x.type]), f"llvm.floor.v{n}f32")
    power = builder.call(floor, [fused(x, every(LOG2E), every(0.5))])
    r = fused(power, every(-LN2_LOW), fused(power, every(-LN2_HIGH), x))
    p = every(POLYNOMIAL[0])
    for factor in POLYNOMIAL[1:]:
        p = fused(p, r, every(factor))
    p = builder.fadd(fused(builder.fmul(p, r), r, r), every(1.0))
    exponent = builder.add(builder.fptosi(power, whole), ir.Constant(whole, [127] * n))
    none = ir.Constant(whole, None)
    exponent = builder.select(builder.icmp_signed(">", exponent, none), exponent, none)
    return builder.fmul(p, builder.bitcast(builder.shl(exponent, ir.Constant(whole, [23] * n)), x.type))


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


@intrinsic
def where_code(typing, tile, array, index, count, code):
    """The lanes of a tile of one row whose code in the array is this one, 0 elsewhere."""

    def generate(context, builder, signature, values):
        vectors = _unpack(builder, tile, values[0])
        found = _codes(context, builder, tile, array, values[1:4], None)
        number = ir.IntType(array.dtype.bitwidth)
        wanted = _splat(builder, builder.trunc(values[4], number), tile.lanes)
        return _pack(
            builder,
            tile,
            [
                builder.select(builder.icmp_signed("==", codes, wanted), v, tile.zero)
                for codes, v in zip(found, vectors, strict=True)
            ],
        )

    return tile(tile, array, INT, INT, INT), generate
