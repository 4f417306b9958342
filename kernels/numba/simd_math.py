"""Arithmetic on the tiles of `simd`, lane by lane: + - * /, functions of `formulas`, and the columns of a tile."""

from __future__ import annotations

import operator

from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

from xpnn_kernels.numba import formulas
from xpnn_kernels.numba.lanewise import code_of, of_tiles, where
from xpnn_kernels.numba.simd import Tile, _pack, _unpack

sigmoid, tanh, relu = of_tiles(formulas.sigmoid), of_tiles(formulas.tanh), of_tiles(formulas.relu)
exp_down = of_tiles(formulas.exp_down)
relu_slope = of_tiles(lambda y: where(y > 0, 1, formulas.relu(y)))
"""1 where y > 0, 0 elsewhere, NaN where y is NaN."""


@intrinsic(prefer_literal=True)
def column(typing, tile, c):
    """The c-th column (a literal) as a tile of one."""
    one = Tile(tile.dtype, tile.rows, 1, tile.lanes * tile.size)

    def generate(context, builder, sig, values):
        return _pack(builder, one, _unpack(builder, tile, values[0])[c.literal_value :: tile.columns])

    return one(tile, c), generate


@intrinsic(prefer_literal=True)
def with_column(typing, tile, c, one):
    """The tile with another c-th column (c is a literal)."""

    def generate(context, builder, sig, values):
        vectors = _unpack(builder, tile, values[0])
        vectors[c.literal_value :: tile.columns] = _unpack(builder, one, values[2])
        return _pack(builder, tile, vectors)

    return tile(tile, c, one), generate


class _Lanewise(AbstractTemplate):
    def generic(self, args, kws):
        if len(args) == 2 and isinstance(args[0], Tile) and args[0] == args[1]:
            return signature(args[0], *args)
        return None


for _operator in (operator.add, operator.sub, operator.mul, operator.truediv):
    infer_global(_operator)(type(f"_{_operator.__name__}", (_Lanewise,), {"key": _operator}))
    lower_builtin(_operator, Tile, Tile)(code_of(_operator))
