"""Products with the rows of a matrix that lie anywhere: what makes a convolution a matrix product without a copy."""

from __future__ import annotations

from numba.extending import intrinsic

from xpnn_kernels.numba.simd import FUSED, INT, WORD, _pack, _splat, _start, _unpack


@intrinsic
def add_outer_at(typing, tile, a, rows, first, offset, b, b_index):
    """tile[r, c] += a[rows[first + r] + offset] * b's c-th vector from b_index. As `simd.add_outer`, but for `rows`."""

    def generate(context, builder, signature, values):
        sums, a_value, table, at, off, b_value, j = values
        left, right = _start(context, builder, a, a_value, off), _start(context, builder, b, b_value, j)
        places = _start(context, builder, rows, table, at)
        right = builder.bitcast(right, tile.vector.as_pointer())
        right = [builder.load(builder.gep(right, [WORD(c)]), align=tile.size) for c in range(tile.columns)]
        sums, old = [], _unpack(builder, tile, sums)
        for r in range(tile.rows):
            place = builder.load(builder.gep(places, [WORD(r)]))
            one = _splat(builder, builder.load(builder.gep(left, [place])), tile.lanes)
            sums += [builder.fadd(builder.fmul(one, v, FUSED), old[len(sums) + c], FUSED) for c, v in enumerate(right)]
        return _pack(builder, tile, sums)

    return tile(tile, a, rows, INT, INT, b, INT), generate
