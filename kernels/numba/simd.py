"""SIMD for Numba kernels: register tiles of vectors as wide as the machine's, written as LLVM vector code.

A tile (rows x columns of vectors) is one Numba value that LLVM keeps in registers when it fits; 1 x 1 is a vector.
Where the machine's vectors are narrower than WIDTH, or missing, LLVM splits ours: there is no other fallback.
`index` and `stride` count elements from an array's first byte, whatever its shape and strides; `rows` and `count` say
how much of the tile exists: beyond them nothing is read (zeros are loaded) or written. Nothing need be aligned.
"""

from __future__ import annotations

import struct

from llvmlite import ir
from numba.core import types
from numba.core.datamodel import models
from numba.core.registry import cpu_target
from numba.extending import intrinsic, register_model
from numba.np.arrayobj import populate_array

from xpnn_kernels.numba import edge

TRIPLE, _, FEATURES = cpu_target.target_context.codegen().magic_tuple()  # Numba's disk cache is keyed on these
WIDTH = 64 if "+avx512f" in FEATURES else 32 if "+avx2" in FEATURES else 16  # bytes
REGISTERS = 32 if WIDTH == 64 or TRIPLE.startswith(("aarch64", "arm64")) else 16
INT, I32, WORD = types.intp, ir.IntType(32), ir.IntType(8 * struct.calcsize("P"))
FUSED = ("contract",)  # product and sum in one where the machine can; never a library call


class Tile(types.Type):
    def __init__(self, dtype, rows, columns, width=WIDTH):
        self.dtype, self.rows, self.columns, self.size = dtype, rows, columns, dtype.bitwidth // 8
        self.lanes, self.masked = width // self.size, WIDTH == 64
        self.vector = ir.VectorType(ir.FloatType() if self.size == 4 else ir.DoubleType(), self.lanes)
        self.zero = ir.Constant(self.vector, None)
        super().__init__(f"Tile({dtype}, {rows}, {columns}, {width})")


@register_model(Tile)
class _Model(models.PrimitiveModel):
    def __init__(self, manager, tile):
        super().__init__(manager, tile, ir.ArrayType(tile.vector, tile.rows * tile.columns))


def _unpack(builder, tile, value):
    return [builder.extract_value(value, i) for i in range(tile.rows * tile.columns)]


def _pack(builder, tile, vectors):
    value = ir.Constant(ir.ArrayType(tile.vector, len(vectors)), ir.Undefined)
    for i, vector in enumerate(vectors):
        value = builder.insert_value(value, vector, i)
    return value


def _splat(builder, scalar, lanes):
    one = builder.insert_element(ir.Constant(ir.VectorType(scalar.type, lanes), ir.Undefined), scalar, I32(0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(I32, lanes), [0] * lanes))


def _start(context, builder, array_type, array, index):
    return builder.gep(context.make_array(array_type)(context, builder, array).data, [index])


def _move(context, builder, tile, array, place, vectors):
    """Store the vectors, or load them if none are given: plainly if all of the tile exists, else with masks."""
    target, index, stride, rows, count = place
    start = _start(context, builder, array, target, index)
    whole = builder.and_(
        builder.icmp_signed(">=", rows, WORD(tile.rows)),
        builder.icmp_signed(">=", count, WORD(tile.columns * tile.lanes)),
    )

    def at(i):
        r, c = WORD(i // tile.columns), WORD(i % tile.columns * tile.lanes)
        return builder.gep(start, [builder.add(builder.mul(r, stride), c)])

    def left(i):
        r, c = WORD(i // tile.columns), WORD(i % tile.columns * tile.lanes)
        here = builder.select(builder.icmp_signed("<", r, rows), builder.add(count, more(i)), WORD(0))
        return builder.sub(here, c)

    def more(i):
        """What may be written behind a row: the next rows, which are stored after it, where they follow at once."""
        if not vectors or tile.rows == 1:
            return WORD(0)
        behind = builder.sub(exist, WORD(1 + i // tile.columns))
        return builder.select(builder.icmp_signed("==", stride, count), builder.mul(behind, stride), WORD(0))

    exist = builder.select(builder.icmp_signed("<", rows, WORD(tile.rows)), rows, WORD(tile.rows))
    result = edge.move(builder, tile, tile.vector, vectors, whole, at, left)
    return context.get_dummy_value() if vectors else _pack(builder, tile, result)


def zeros(rows, columns, width=WIDTH):
    """An intrinsic: zeros(array) is a tile of its dtype; rows=0 for as many as lanes. To be made at module level.

    width: bytes of its vectors, where they are to be narrower than the machine's.
    """

    @intrinsic
    def make(typing, array):
        tile = Tile(array.dtype, rows or width * 8 // array.dtype.bitwidth, columns, width)
        return tile(array), lambda context, builder, signature, values: ir.Constant(context.get_value_type(tile), None)

    return make


def scratch(vectors):
    """An intrinsic: scratch(array) is a flat array of its dtype, unset and aligned to a vector, in the stack frame of
    the function that calls it; gone when that returns. To be made at module level. All of a kernel's together take
    256 KB at most: a Python thread whose stack is set to so little cannot call it; 512 KB, the least that systems give,
    are enough."""

    @intrinsic
    def make(typing, array):
        flat = types.Array(array.dtype, 1, "C")
        size, nbytes = array.dtype.bitwidth // 8, vectors * WIDTH

        def generate(context, builder, signature, values):
            with builder.goto_entry_block():  # there it costs nothing, and a loop cannot make the stack grow
                memory = builder.alloca(ir.ArrayType(ir.IntType(8), nbytes))
            memory.align = WIDTH
            result = context.make_array(flat)(context, builder)
            start, shape = builder.bitcast(memory, result.data.type), [WORD(nbytes // size)]
            populate_array(result, start, shape, [WORD(size)], WORD(size), None)
            return result._getvalue()

        return flat(array), generate

    return make


@intrinsic
def span(typing, tile):
    """How many elements a row of the tile has: a constant, where the array's `itemsize` is not one for LLVM."""
    return INT(tile), lambda context, builder, signature, values: WORD(tile.columns * tile.lanes)


@intrinsic
def load(typing, tile, array, index, stride, rows, count):
    """A tile like `tile`, of which only the type matters."""
    return tile(tile, array, INT, INT, INT, INT), lambda context, builder, signature, values: _move(
        context, builder, tile, array, values[1:], None
    )


@intrinsic
def store(typing, tile, array, index, stride, rows, count):
    return types.void(tile, array, INT, INT, INT, INT), lambda context, builder, signature, values: _move(
        context, builder, tile, array, values[1:], _unpack(builder, tile, values[0])
    )


@intrinsic
def add_outer(typing, tile, a, index, stride, rows, b, b_index):
    """tile[r, c] += a[index + min(r, rows - 1) * stride] * b's c-th vector from b_index."""

    def generate(context, builder, signature, values):
        sums, a_value, i, step, exist, b_value, j = values
        left, right = _start(context, builder, a, a_value, i), _start(context, builder, b, b_value, j)
        right = builder.bitcast(right, tile.vector.as_pointer())
        right = [builder.load(builder.gep(right, [WORD(c)]), align=tile.size) for c in range(tile.columns)]
        sums, old = [], _unpack(builder, tile, sums)
        for r in range(tile.rows):
            row = builder.select(builder.icmp_signed("<", WORD(r), exist), WORD(r), builder.sub(exist, WORD(1)))
            one = _splat(builder, builder.load(builder.gep(left, [builder.mul(row, step)])), tile.lanes)
            sums += [builder.fadd(builder.fmul(one, v, FUSED), old[len(sums) + c], FUSED) for c, v in enumerate(right)]
        return _pack(builder, tile, sums)

    return tile(tile, a, INT, INT, INT, b, INT), generate


@intrinsic
def transpose(typing, tile):
    """Of a tile of one column and as many rows as a vector has lanes."""

    def generate(context, builder, signature, values):
        vectors, n, half = _unpack(builder, tile, values[0]), tile.lanes, tile.lanes // 2
        while half:  # swap the off-diagonal quarters of every square of 2 half x 2 half
            low = ir.Constant(ir.VectorType(I32, n), [n + i - half if i & half else i for i in range(n)])
            high = ir.Constant(ir.VectorType(I32, n), [n + i if i & half else i + half for i in range(n)])
            for i in (i for i in range(n) if not i & half):
                pair = vectors[i], vectors[i + half]
                vectors[i], vectors[i + half] = (builder.shuffle_vector(*pair, order) for order in (low, high))
            half //= 2
        return _pack(builder, tile, vectors)

    return tile(tile), generate
