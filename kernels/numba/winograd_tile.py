"""The small transforms of Winograd's F(4x4, 3x3), on square tiles of vectors that stay in registers.

A 4x4 piece of a correlation with a 3x3 filter is A^T [(G g G^T) * (B^T d B)] A, with d the 6x6 inputs it depends on:
36 products instead of 144 (Lavin and Gray, 2016, arXiv:1509.09308; Toom-Cook). Rounding errors grow with the powers
of the interpolation points (Barabasz, Anderson, Soodhalter and Gregg, 2020, arXiv:1803.10986). Measured in float32 with
64 channels, errors of the output and of the filter's gradient, relative to their largest values:

    0, 1, -1, 2, -2           6.4e-6   1.1e-5     the usual choice
    0, 1, -1, 1/2, -2         2.4e-6   5.1e-6
    0, +-3/4, +-3/2           1.7e-6   2.7e-6
    0, +-11/16, +-3/2         1.5e-6   2.4e-6     the best of a grid; all coefficients of B and A are exact

Points in pairs of opposite sign also halve the work: a row and its twin are the sum and the difference of an even and
an odd part. Scaling the rows of the matrices changes nothing: each of the 36 products has its own exponent.
"""

from __future__ import annotations

from math import isqrt

import numpy as np
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from xpnn_kernels.numba import edge
from xpnn_kernels.numba.simd import FUSED, INT, WORD, Tile, _pack, _start, _unpack

OUT, TAPS = 4, 3
SIDE = OUT + TAPS - 1
POINTS = 0.0, 11 / 16, -11 / 16, 3 / 2, -3 / 2  # and infinity


def _matrices():
    """A (6, 4), B^T (6, 6) and G (6, 3): a row for each point, the last for infinity."""

    def powers(count):
        return np.vstack([np.vander(POINTS, count, increasing=True), np.eye(count)[-1:]])

    G, Bt = powers(TAPS), np.zeros((SIDE, SIDE))
    for i, point in enumerate(POINTS):
        others = np.delete(POINTS, i)
        Bt[i, :-1] = np.poly(others)[::-1]  # the coefficients of the product of (x - other)
        G[i] /= np.prod(point - others)
    Bt[-1] = np.poly(POINTS)[::-1]
    return powers(OUT), Bt, G


A, Bt, G = _matrices()


def _combine(builder, factors, vectors):
    """The sum of factor * vector, in as few instructions as there are factors, less one if a factor is 1 or -1."""
    terms = sorted(((f, v) for f, v in zip(factors, vectors, strict=True) if f), key=lambda term: abs(term[0]) != 1)
    total = None
    for factor, vector in terms:
        if total is not None and abs(factor) == 1:
            total = (builder.fadd if factor > 0 else builder.fsub)(total, vector, FUSED)
        elif factor == 1:
            total = vector
        else:
            constant = ir.Constant(vector.type, [float(factor)] * vector.type.count)
            product = builder.fmul(constant, vector, FUSED)
            total = product if total is None else builder.fadd(product, total, FUSED)
    return total


def _twins(vectors):
    """Pairs (i, j) of vectors that differ in signs only, and what is left over as (i, None)."""
    left = list(range(len(vectors)))
    while left:
        i = left.pop(0)
        j = next((k for k in left if (abs(vectors[k]) == abs(vectors[i])).all()), None)
        if j is not None:
            left.remove(j)
        yield i, j


def _apply(builder, matrix, vectors):
    """matrix @ vectors; twin columns and then twin rows are replaced by their half sum and half difference."""
    columns, inputs = [], []
    for i, j in _twins(matrix.T):
        a, b = matrix[:, i], None if j is None else matrix[:, j]
        columns += [a] if b is None else [(a + b) / 2, (a - b) / 2]
        inputs += [vectors[i]]
        if j is not None:
            pair = vectors[i], vectors[j]
            inputs[-1:] = builder.fadd(*pair, FUSED), builder.fsub(*pair, FUSED)
    matrix, results = np.stack(columns, 1), [None] * len(matrix)
    for i, j in _twins(matrix):
        if j is None:
            results[i] = _combine(builder, matrix[i], inputs)
        else:
            even = _combine(builder, (matrix[i] + matrix[j]) / 2, inputs)
            odd = _combine(builder, (matrix[i] - matrix[j]) / 2, inputs)
            results[i], results[j] = builder.fadd(even, odd, FUSED), builder.fsub(even, odd, FUSED)
    return results


def sandwich(matrix):
    """An intrinsic: matrix @ X @ matrix.T of a tile that holds a square X in rows. To be made at module level."""
    m, n = matrix.shape

    @intrinsic
    def multiply(typing, tile):
        result = Tile(tile.dtype, m * m, 1)

        def generate(context, builder, signature, values):
            grid = _unpack(builder, tile, values[0])
            columns = [_apply(builder, matrix, grid[j::n]) for j in range(n)]
            rows = [_apply(builder, matrix, [column[i] for column in columns]) for i in range(m)]
            return _pack(builder, result, [vector for row in rows for vector in row])

        return result(tile), generate

    return multiply


def _patch(context, builder, tile, array, place, vectors):
    """Store the vectors, or load them if none are given: zeros where nothing exists."""
    target, index, down, right, i0, i1, j0, j1, count = place
    start, side = _start(context, builder, array, target, index), isqrt(tile.rows)

    def within(k, low, high):
        return builder.and_(builder.icmp_signed("<=", low, WORD(k)), builder.icmp_signed("<", WORD(k), high))

    whole = builder.icmp_signed(">=", count, WORD(tile.lanes))
    for low, high in ((i0, i1), (j0, j1)):
        whole = builder.and_(whole, builder.and_(within(0, low, high), within(side - 1, low, high)))

    def at(k):
        i, j = divmod(k, side)
        return builder.gep(start, [builder.add(builder.mul(down, WORD(i)), builder.mul(right, WORD(j)))])

    def left(k):
        i, j = divmod(k, side)
        return builder.select(builder.and_(within(i, i0, i1), within(j, j0, j1)), count, WORD(0))

    result = edge.move(builder, tile, tile.vector, vectors, whole, at, left)
    return context.get_dummy_value() if vectors else _pack(builder, tile, result)


@intrinsic
def load_patch(typing, tile, array, index, down, right, i0, i1, j0, j1, count):
    """The vectors at index + i * down + j * right: `count` lanes of them where i0 <= i < i1, j0 <= j < j1; else 0."""
    return tile(tile, array, *[INT] * 8), lambda context, builder, signature, values: _patch(
        context, builder, tile, array, values[1:], None
    )


@intrinsic
def store_patch(typing, tile, array, index, down, right, i0, i1, j0, j1, count):
    """To where `load_patch` would read; nothing is stored elsewhere."""
    return types.void(tile, array, *[INT] * 8), lambda context, builder, signature, values: _patch(
        context, builder, tile, array, values[1:], _unpack(builder, tile, values[0])
    )


@intrinsic
def plus(typing, tile, other):
    """tile + other; of one row, it is added to each row."""

    def generate(context, builder, signature, values):
        vectors, more = _unpack(builder, tile, values[0]), _unpack(builder, other, values[1])
        more *= len(vectors) // len(more)
        return _pack(builder, tile, [builder.fadd(a, b, FUSED) for a, b in zip(vectors, more, strict=True)])

    return tile(tile, other), generate


@intrinsic
def total(typing, tile):
    """The sum of the tile's vectors, a tile of one."""
    one = Tile(tile.dtype, 1, 1)

    def generate(context, builder, signature, values):
        vectors = _unpack(builder, tile, values[0])
        while len(vectors) > 1:
            left, right = vectors[::2], vectors[1::2] + [one.zero] * (len(vectors) % 2)
            vectors = [builder.fadd(*pair, FUSED) for pair in zip(left, right, strict=True)]
        return _pack(builder, one, vectors)

    return one(tile), generate


@intrinsic
def rows(typing, tile):
    """How many rows the tile has, as a constant."""
    return INT(tile), lambda context, builder, signature, values: WORD(tile.rows)


@intrinsic
def span(typing, tile):
    """How many numbers a row of the tile has, as a constant."""
    return INT(tile), lambda context, builder, signature, values: WORD(tile.columns * tile.lanes)
