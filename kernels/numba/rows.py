"""The inner loop of every product: a register tile of sums goes along k, over rows that lie anywhere.

The loop is written here and not in Python: it must not be unrolled (see ORDER), and there is less to compile.
"""

from __future__ import annotations

from llvmlite import ir
from numba.extending import intrinsic

from xpnn_kernels.numba.simd import FUSED, INT, WORD, _pack, _splat, _start, _unpack
from xpnn_kernels.numba.stream import PLACE, ask

ORDER = ir.InlineAsm(ir.FunctionType(ir.VoidType(), []), "", "~{memory}", side_effect=True)
"""No instruction: loads stay behind it. Free to do so, LLVM loads for several rows first, and has no registers left."""

FEW = 8
"""Rows of a tile that leave a register for an address more: with 12 of them to ask ahead cost 5 %."""


def _loop(builder, tile, sums, starts, place, total, b, step, soon=None):
    """sums + the sum over k < total of starts[r][place(k)] (b + k step)[c]; b points to elements, step counts them.

    From soon on, memory is asked for: so much at every k that it is all there of `total` k of the next tile.
    """
    before, vectors = builder.block, _unpack(builder, tile, sums)
    loop, end = builder.append_basic_block("products"), builder.append_basic_block("products.end")
    builder.cbranch(builder.icmp_signed(">", total, WORD(0)), loop, end)

    builder.position_at_end(loop)
    k, here = builder.phi(WORD), builder.phi(b.type)
    old = [builder.phi(tile.vector) for _ in vectors]
    at = place(k)
    pointer = builder.bitcast(here, tile.vector.as_pointer())
    if soon is not None:
        ask(builder, builder.bitcast(builder.gep(soon, [builder.mul(k, WORD(tile.rows))]), PLACE))
    line = [builder.load(builder.gep(pointer, [WORD(c)]), align=tile.size) for c in range(tile.columns)]
    new: list[ir.Value] = []
    for start in starts:
        builder.call(ORDER, [], attrs=("convergent",))
        one = _splat(builder, builder.load(builder.gep(start, [at])), tile.lanes)
        for v in line:
            new.append(builder.fadd(builder.fmul(one, v, flags=FUSED), old[len(new)], flags=FUSED))
    next_k, next_here = builder.add(k, WORD(1)), builder.gep(here, [step])
    builder.cbranch(builder.icmp_signed("<", next_k, total), loop, end)
    for phi, initial, later in ((k, WORD(0), next_k), (here, b, next_here), *zip(old, vectors, new, strict=True)):
        phi.add_incoming(initial, before)
        phi.add_incoming(later, loop)

    builder.position_at_end(end)
    results = []
    for initial, later in zip(vectors, new, strict=True):
        results.append(builder.phi(tile.vector))
        results[-1].add_incoming(initial, before)
        results[-1].add_incoming(later, loop)
    return _pack(builder, tile, results)


@intrinsic
def add_products_at(typing, tile, a, rows, first, steps, start, offset, count, b, b_index, pitch, x, soon):
    """tile[r, c] += sum over k < count of a[offset + rows[first + r] + steps[start + k]] b[k, c].

    b[k, c] is the c-th vector from b_index + k pitch. Meanwhile as many elements of x, from `soon` on, as the tile uses
    of a are asked for, if its rows are FEW: memory works while the units multiply. They may be outside of x.
    """

    def generate(context, builder, signature, values):
        sums, a_value, table, at, along, begin, off, total, b_value, j, step, x_value, ahead = values
        left, right = _start(context, builder, a, a_value, off), _start(context, builder, b, b_value, j)
        places, along = _start(context, builder, rows, table, at), _start(context, builder, steps, along, begin)
        starts = [builder.gep(left, [builder.load(builder.gep(places, [WORD(r)]))]) for r in range(tile.rows)]
        soon = _start(context, builder, x, x_value, ahead) if tile.rows <= FEW else None

        def place(k):
            return builder.load(builder.gep(along, [k]))

        return _loop(builder, tile, sums, starts, place, total, right, step, soon)

    return tile(tile, a, rows, INT, steps, INT, INT, INT, b, INT, INT, x, INT), generate


@intrinsic
def add_products(typing, tile, a, index, row, rows, step, count, b, b_index, pitch):
    """tile[r, c] += sum over k < count of a[index + min(r, rows - 1) row + k step] b[k, c], b as above."""

    def generate(context, builder, signature, values):
        sums, a_value, i, down, exist, along, total, b_value, j, pitch_value = values
        left, right = _start(context, builder, a, a_value, i), _start(context, builder, b, b_value, j)
        last = builder.sub(exist, WORD(1))
        numbers = [builder.select(builder.icmp_signed("<", WORD(r), exist), WORD(r), last) for r in range(tile.rows)]
        starts = [builder.gep(left, [builder.mul(down, r)]) for r in numbers]
        return _loop(builder, tile, sums, starts, lambda k: builder.mul(k, along), total, right, pitch_value)

    return tile(tile, a, INT, INT, INT, INT, INT, b, INT, INT), generate
