"""Arithmetic on the tiles of `simd`, lane by lane: + - *, sigmoid, tanh, relu, and the columns of a tile.

    e^x = 2^n (1 + p), x = n ln 2 + r, |r| <= ln(2)/2, p = r + r^2 q(r)     sigmoid(x) = 1 / (1 + e^-x)
    E = e^2x - 1 = (2^n - 1) + 2^n p                                       tanh(x) = E / (E + 2)

Nothing cancels: tanh is as exact near 0 as elsewhere. Within 2 roundings in both dtypes; NaN stays NaN. A vector takes
about ten multiply-adds and one division: 0.35 ns an element with AVX-512. Every instruction has flags of its own: to
one without, Numba would give those of the kernel around it, and reassociation undoes the reduction of x.
"""

from __future__ import annotations

import operator
from math import factorial

from llvmlite import ir
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin

from xpnn_kernels.numba.simd import FUSED, Tile, _pack, _unpack

LOG2E = 1.4426950408889634
# By bytes of an element: ln 2 in two parts, the first so short that n times it is exact; q, highest power first; the
# number at which adding makes a whole number of the fraction and leaves it in the lowest bits; the reach of e^x.
LN2 = {4: (0.693359375, -2.12194440e-4), 8: (0.693147180369123816490, 1.90821492927058770002e-10)}
Q = {
    4: (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1),
    8: tuple(1 / factorial(k) for k in range(13, 1, -1)),
}
ROUND = {4: 1.5 * 2.0**23, 8: 1.5 * 2.0**52}
REACH = {4: 87.0, 8: 708.0}
FLAT = {4: 20.0, 8: 40.0}  # tanh is 1 where its 2x is beyond
FRACTION = {4: 23, 8: 52}  # bits


def _all(tile, number):
    return ir.Constant(tile.vector, [number] * tile.lanes)


def _clamp(builder, tile, x, reach):
    """x within -reach..reach; NaN passes."""
    for sign, limit in ((">", reach), ("<", -reach)):
        limit = _all(tile, limit)
        x = builder.select(builder.fcmp_ordered(sign, x, limit), limit, x)
    return x


def _parts(builder, tile, x):
    """(2^n, 2^n p) of e^x = 2^n (1 + p), for |x| <= REACH."""
    size = tile.size

    def fma(a, b, c):
        return builder.fadd(builder.fmul(a, b, flags=FUSED), c, flags=FUSED)

    shifted = fma(x, _all(tile, LOG2E), _all(tile, ROUND[size]))
    n = builder.fsub(shifted, _all(tile, ROUND[size]), flags=FUSED)
    high, low = (_all(tile, -part) for part in LN2[size])
    r = fma(n, low, fma(n, high, x))
    q = _all(tile, Q[size][0])
    for coefficient in Q[size][1:]:
        q = fma(q, r, _all(tile, coefficient))
    p = fma(builder.fmul(r, r, flags=FUSED), q, r)
    whole = ir.VectorType(ir.IntType(8 * size), tile.lanes)
    bits = builder.shl(builder.bitcast(shifted, whole), ir.Constant(whole, [FRACTION[size]] * tile.lanes))
    bits = builder.add(bits, builder.bitcast(_all(tile, 1.0), whole))
    power = builder.bitcast(bits, tile.vector)
    return power, builder.fmul(power, p, flags=FUSED)


def _sigmoid(builder, tile, x):
    power, rest = _parts(builder, tile, _clamp(builder, tile, builder.fneg(x), REACH[tile.size]))
    one = _all(tile, 1.0)
    return builder.fdiv(one, builder.fadd(builder.fadd(power, one, flags=FUSED), rest, flags=FUSED), flags=FUSED)


def _tanh(builder, tile, x):
    power, rest = _parts(builder, tile, _clamp(builder, tile, builder.fadd(x, x), FLAT[tile.size]))
    e = builder.fadd(builder.fsub(power, _all(tile, 1.0), flags=FUSED), rest, flags=FUSED)
    return builder.fdiv(e, builder.fadd(e, _all(tile, 2.0), flags=FUSED), flags=FUSED)


def _map(function):
    """The code of a function of tiles of one type, from that of their vectors."""

    def generate(context, builder, sig, values):
        tile = sig.args[0]
        columns = [_unpack(builder, tile, value) for value in values]
        return _pack(builder, tile, [function(builder, tile, *vectors) for vectors in zip(*columns, strict=True)])

    return generate


@intrinsic
def sigmoid(typing, x):
    """1 / (1 + e^-x)."""
    return x(x), _map(_sigmoid)


@intrinsic
def tanh(typing, x):
    """The hyperbolic tangent."""
    return x(x), _map(_tanh)


@intrinsic
def relu(typing, x):
    """x where it is not below 0, else 0: NaN passes."""

    def positive(builder, tile, x):
        return builder.select(builder.fcmp_ordered("<=", x, tile.zero), tile.zero, x)

    return x(x), _map(positive)


@intrinsic
def relu_slope(typing, y):
    """1 where y > 0, 0 elsewhere, NaN where y is NaN."""

    def slope(builder, tile, y):
        rest = builder.select(builder.fcmp_ordered("<=", y, tile.zero), tile.zero, y)
        return builder.select(builder.fcmp_ordered(">", y, tile.zero), _all(tile, 1.0), rest)

    return y(y), _map(slope)


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


for _operator, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    infer_global(_operator)(type(f"_{_instruction}", (_Lanewise,), {"key": _operator}))
    lower_builtin(_operator, Tile, Tile)(
        _map(lambda builder, tile, x, y, instruction=_instruction: getattr(builder, instruction)(x, y, flags=FUSED))
    )
