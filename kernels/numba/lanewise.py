"""Formulas of tiles, written as they are read: LLVM code by arithmetic.

    half_square = of_tiles(lambda x: 0.5 * x * x)        at module level: an intrinsic, half_square(tile)

While code is made, a `Lanes` stands for one vector of a tile: its + - * / and comparisons are instructions, a number is
itself in every lane. Comparisons with NaN are false. Every instruction has flags of its own: to one without, Numba
would give those of the kernel around it, and reassociation undoes what keeps small differences of large numbers.
"""

from __future__ import annotations

from inspect import Parameter, Signature, signature

from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

from xpnn_kernels.numba.edge import name_of
from xpnn_kernels.numba.simd import FUSED, INT, WORD, Tile, _pack, _splat, _unpack


class Lanes:
    def __init__(self, builder, value):
        self.builder, self.value = builder, value

    @property
    def size(self):
        """Bytes of an element."""
        return 4 if isinstance(self.value.type.element, ir.FloatType) else 8

    def like(self, other):
        """Lanes of a number, or of what are lanes already."""
        if isinstance(other, Lanes):
            return other
        return Lanes(self.builder, ir.Constant(self.value.type, [float(other)] * self.value.type.count))

    def _pair(self, instruction, x, y):
        return Lanes(self.builder, getattr(self.builder, instruction)(x.value, y.value, flags=FUSED))

    def _test(self, sign, other):
        return Lanes(self.builder, self.builder.fcmp_ordered(sign, self.value, self.like(other).value, flags=FUSED))

    def __add__(self, other):
        return self._pair("fadd", self, self.like(other))

    def __sub__(self, other):
        return self._pair("fsub", self, self.like(other))

    def __rsub__(self, other):
        return self._pair("fsub", self.like(other), self)

    def __mul__(self, other):
        return self._pair("fmul", self, self.like(other))

    def __truediv__(self, other):
        return self._pair("fdiv", self, self.like(other))

    def __rtruediv__(self, other):
        return self._pair("fdiv", self.like(other), self)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self):
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __lt__(self, other):
        return self._test("<", other)

    def __le__(self, other):
        return self._test("<=", other)

    def __gt__(self, other):
        return self._test(">", other)

    def __ge__(self, other):
        return self._test(">=", other)

    def is_nan(self):
        return Lanes(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value, flags=FUSED))

    def __and__(self, other):
        return Lanes(self.builder, self.builder.and_(self.value, other.value))

    def __or__(self, other):
        return Lanes(self.builder, self.builder.or_(self.value, other.value))

    def _call(self, name):
        kind = self.value.type
        function = f"llvm.{name}.{name_of(kind)[0]}"
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(kind, [kind]), function)
        return Lanes(self.builder, self.builder.call(function, [self.value]))

    def __abs__(self):
        return self._call("fabs")

    def sqrt(self):
        return self._call("sqrt")


def where(test, x, y):
    """x in the lanes where the test holds, y elsewhere; one of them may be a number."""
    x, y = (x, x.like(y)) if isinstance(x, Lanes) else (y.like(x), y)
    return Lanes(x.builder, x.builder.select(test.value, x.value, y.value))


def at_least(x, low):
    """The larger of x and a number; NaN stays."""
    return where(x < low, low, x)


def at_most(x, high):
    """The smaller of x and a number; NaN stays."""
    return where(x > high, high, x)


def _rows(builder, kinds, values):
    """The arguments of a formula, for every vector of the tiles."""
    tile = kinds[0]
    vectors = [
        _unpack(builder, tile, value)
        if isinstance(kind, Tile)
        else [_splat(builder, value, tile.lanes)] * (tile.rows * tile.columns)
        for kind, value in zip(kinds, values, strict=True)
    ]
    return [[Lanes(builder, v) for v in row] for row in zip(*vectors, strict=True)]


def _typed(kinds, *first):
    """The signature of a function of tiles and numbers."""
    tile = kinds[0]
    return tile(*first, *[kind if isinstance(kind, Tile) else tile.dtype for kind in kinds])


def _values(formula, rows):
    return [formula(*row).value for row in rows]


def code_of(formula):
    """What makes the code of a function of tiles and numbers."""

    def generate(context, builder, signature, values):
        return _pack(builder, signature.return_type, _values(formula, _rows(builder, signature.args, values)))

    return generate


def _intrinsic(names, typed):
    """An intrinsic of arguments of these names, which Numba wants to know."""

    def function(typing, *arguments):
        return typed(*arguments)

    names = ("typing", *names)
    function.__dict__["__signature__"] = Signature([Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in names])
    return intrinsic(function)


def of_tiles(formula):
    """An intrinsic of a tile, others of its type, and numbers. To be made at module level."""
    return _intrinsic(signature(formula).parameters, lambda *kinds: (_typed(kinds), code_of(formula)))


def one_of(formulas):
    """An intrinsic (code, tile, others and numbers): the formula of that place. To be made at module level."""

    def generate(context, builder, signature, values):
        tile, rows = signature.return_type, _rows(builder, signature.args[1:], values[1:])
        start, end, ways = builder.block, builder.append_basic_block(), []
        for formula in formulas:
            first = builder.append_basic_block()
            builder.position_at_end(first)
            ways.append((first, _values(formula, rows)))
            builder.branch(end)
        builder.position_at_end(start)
        switch = builder.switch(values[0], ways[0][0])
        builder.position_at_end(end)
        chosen = [builder.phi(tile.vector) for _ in rows]
        for number, (first, results) in enumerate(ways):
            switch.add_case(WORD(number), first)
            for phi, result in zip(chosen, results, strict=True):
                phi.add_incoming(result, first)
        return _pack(builder, tile, chosen)

    names = ("code", *signature(formulas[0]).parameters)
    return _intrinsic(names, lambda code, *kinds: (_typed(kinds, INT), generate))
