"""Arrays too large for a cache: what is read is asked for ahead, what is written goes past it, straight to memory.

An ordinary store first reads the line that it changes, and pushes out of the cache what the kernel itself still reads.
The machine guesses what will be read next, but not beyond a page. `cache` says what is too large. Measured on two cores
whose last cache strangers use: batch normalisation of 11 MB, forward and backward, 4.9 ms with ordinary stores, 3.9
with these; average pooling of 9 MB 1.7 ms, 1.3 past the caches, 0.95 when asked for ahead as well.
"""

from __future__ import annotations

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from xpnn_kernels.numba import edge
from xpnn_kernels.numba.simd import I32, INT, WIDTH, WORD, _start, _unpack

AHEAD = 4096
"""How many elements ahead of what is read to ask for more, where an array is read from end to end."""

PLACE = ir.IntType(8).as_pointer()
LINE = 64
"""Bytes of a line of the cache."""


@intrinsic
def store(typing, tile, array, index, count, past):
    """As `simd.store` of a tile of one row; past the caches if `past`, where it is whole and has whole lines of the
    cache: halves cost four times as much as ordinary stores."""

    def generate(context, builder, signature, values):
        value, target, at, left, wanted = values
        vectors, start = _unpack(builder, tile, value), _start(context, builder, array, target, at)
        whole = builder.icmp_signed(">=", left, WORD(tile.columns * tile.lanes))
        wanted = wanted if tile.columns * WIDTH % LINE == 0 else wanted.type(0)

        def place(c):
            return builder.gep(start, [WORD(c * tile.lanes)])

        with builder.if_else(builder.and_(wanted, whole)) as (then, otherwise):
            with then:
                for c, v in enumerate(vectors):
                    done = builder.store(v, builder.bitcast(place(c), tile.vector.as_pointer()), align=WIDTH)
                    done.set_metadata("nontemporal", builder.module.add_metadata([I32(1)]))
            with otherwise:
                rest = [builder.sub(left, WORD(c * tile.lanes)) for c in range(tile.columns)]
                edge.move(builder, tile, tile.vector, vectors, whole, place, rest.__getitem__)
        return context.get_dummy_value()

    return types.void(tile, array, INT, INT, types.boolean), generate


def ask(builder, place):
    prefetch = ir.FunctionType(ir.VoidType(), [PLACE, I32, I32, I32])
    prefetch = cgutils.get_or_insert_function(builder.module, prefetch, "llvm.prefetch.p0")
    builder.call(prefetch, [place, *map(I32, (0, 3, 1))])  # to read, to be kept, data


@intrinsic
def ahead(typing, tile, array, index):
    """A tile of one row will be loaded from there soon. It may be outside of the array."""

    def generate(context, builder, signature, values):
        start = builder.bitcast(_start(context, builder, array, *values[1:]), PLACE)
        for at in range(0, tile.columns * WIDTH, LINE):
            ask(builder, builder.gep(start, [WORD(at)]))
        return context.get_dummy_value()

    return types.void(tile, array, INT), generate


@intrinsic
def line_ahead(typing, array, at):
    """The line of the cache at so many bytes from the beginning of the array will be read soon."""

    def generate(context, builder, signature, values):
        start = builder.bitcast(_start(context, builder, array, values[0], WORD(0)), PLACE)
        ask(builder, builder.gep(start, values[1:]))
        return context.get_dummy_value()

    return types.void(array, INT), generate


@intrinsic
def settle(typing):
    """Other threads see what was written past the caches: to be called before a kernel returns."""

    def generate(context, builder, signature, values):
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate
