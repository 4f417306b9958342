"""Reductions on CUDA, and how kernels of other files share out what they sum up."""

from __future__ import annotations

from math import prod
from typing import Any, NamedTuple

import numpy as np

from xpnn.backends.cupy.module import INTEGER, REAL, WHOLE_DTYPES, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

# In the order of reduction.cuh.
SUM, MAX, MIN, ARGMAX, ARGMIN = range(5)
SOURCE = Source(
    "reduction",
    {
        "values": (REAL, (SUM, MAX, MIN)),
        "places": (REAL, (ARGMAX, ARGMIN)),
        **dict.fromkeys(("ties", "spread", "share"), (REAL,)),
    },
)
WHOLE = Source("reduction", {"values": ((*INTEGER, "bool"), (SUM,), ("long long",))})
AXES = 4


class Shares(NamedTuple):
    """As reduction.cuh has it: n results of R elements."""

    R: int
    n: int
    by_row: bool
    width: int

    @property
    def parts(self) -> int:
        """Into how many the elements of a result go: results alone would leave the GPU idle."""
        return max(1, min(256 // max(1, self.n // self.width), self.R * self.width // 4096))


def shares(R: int, n: int, by_row: bool, inner: int) -> Shares:
    """by_row: neighbours are elements of one result; else results, `inner` of which lie side by side."""
    if by_row:  # a few elements a thread
        lanes = min(256, 1 << max(-(-R // 4) - 1, 0).bit_length())
        return Shares(R, n, by_row, 256 // lanes)
    return Shares(R, n, by_row, 256 if R == 1 else min(32, 1 << max(inner - 1, 0).bit_length()))


def _axes(shape, reduced):
    """[(length, is it reduced)], neighbours of one kind as one axis."""
    found: list[tuple[int, bool]] = []
    for i, n in enumerate(shape):
        kind = i in reduced
        if found and found[-1][1] == kind:
            found[-1] = (n * found[-1][0], kind)
        elif n != 1:
            found.append((n, kind))
    return found


def _walk(axes, kind):
    """(number, (length of the inner axis, strides)) over the one or two axes that are reduced, or that are kept."""
    lengths = [n for n, _ in axes]
    mine = [(n, prod(lengths[i + 1 :])) for i, (n, reduced) in enumerate(axes) if reduced == kind]
    (_, outer), (inner, step) = [(1, 0), (1, 0), *mine][-2:]
    return prod(n for n, _ in mine), (inner, outer, step)


def _plan(shape, reduced) -> tuple[tuple[int, ...], Shares]:
    """Elements of reduction.cu, and how they are shared out."""
    axes = _axes(shape, reduced)
    (R, along), (n, across) = _walk(axes, True), _walk(axes, False)
    return (*along, *across), shares(R, n, not axes or axes[-1][1], across[0])


def launches(kernel, arrays, walk, s: Shares, y, work, code=SUM, count=()) -> list[Any]:
    """Of a kernel that reduces to y; of few results the parts, which lie in work[0], and of a second one over these."""
    out = y if s.parts == 1 else work[0][: s.parts * s.n].reshape(s.parts, s.n)
    calls = [kernel.call((max(1, -(-s.n // s.width)), s.parts), (256,), (*arrays, out, walk, s, *count))]
    if out is not y:
        again, after = _plan(out.shape, (0,))
        grid = (max(1, -(-s.n // after.width)),)
        calls.append(_values(out.dtype, code).call(grid, (256,), (out, y, again, after, *(count or (1,)))))
    return calls


def _values(dtype, code):
    real = dtype.kind == "f"
    return SOURCE.kernel("values", dtype, code) if real else WHOLE.kernel("values", dtype, code, "long long")


def room(s: Shares, dtype: np.dtype) -> tuple[Spec, ...]:
    return (Spec((s.parts * s.n,), dtype),) if s.parts > 1 else ()


def _work(phase, x, *, axis, keepdims):
    return room(_plan(x.shape, axis)[1], x.dtype if x.dtype.kind == "f" else np.dtype(np.int64)) * (phase == "forward")


def _results(shape, axis) -> tuple[int, ...]:
    """Results of reduction.cu."""
    lengths: list[int] = []
    strides: list[int] = []
    after = 1
    for n, reduced in reversed(_axes(shape, axis)):
        lengths.insert(0, n)
        strides.insert(0, 0 if reduced else after)
        after *= 1 if reduced else n
    missing = AXES - len(lengths)
    return (*([1] * missing + lengths)[1:], *[0] * missing, *strides)


def _bind(code, mean=False):
    def forward(outs, saved, x, *, axis, keepdims, work):
        count = prod(x.shape[i] for i in axis) if mean else 1
        y = outs[0] if x.dtype.kind == "f" else outs[0].view(np.int64)
        walk, s = _plan(x.shape, axis)
        return made(launches(_values(x.dtype, code), (x,), walk, s, y, work, code, (count,)))

    def backward(dins, douts, kept, *, axis, keepdims, work):
        dx = dins[0]
        args = (douts[0], dx, prod(dx.shape[i] for i in axis) if mean else 1, _results(dx.shape, axis), dx.size)
        return made([SOURCE.kernel("spread", dx.dtype).call(blocks(dx.size), (256,), args)])

    return Override(forward, backward, _guard, work=_work)


def _extremum(code):
    def work(phase, x, *, axis, keepdims):
        s = _plan(x.shape, axis)[1]
        return room(s, x.dtype) if phase == "forward" else (Spec((s.n,), x.dtype), *room(s, x.dtype))

    def backward(dins, douts, kept, *, axis, keepdims, work):
        x, y, dx, (ties, *rest) = kept.inputs[0], kept.outs[0], dins[0], work
        calls = launches(SOURCE.kernel("ties", x.dtype), (x, y), *_plan(x.shape, axis), ties, rest)
        args = (x, y, ties, douts[0], dx, _results(x.shape, axis), x.size)
        return made([*calls, SOURCE.kernel("share", x.dtype).call(blocks(x.size), (256,), args)])

    return _bind(code)._replace(backward=backward, work=work)


def _guard(specs, attrs):
    x = specs[0]
    return floating(specs, attrs) and x.size > 0 and len(_axes(x.shape, attrs["axis"])) <= AXES


def _sums(specs, attrs):
    """Whole numbers have a sum too."""
    return _guard([specs[0]._replace(dtype=np.dtype("f4"))], attrs) and (
        floating(specs, attrs) or specs[0].dtype in WHOLE_DTYPES
    )


def _position(code):
    def forward(outs, saved, x, *, axis):
        walk, s = _plan(x.shape, (axis,))
        grid = (max(1, -(-s.n // s.width)),)  # one part always
        return made([SOURCE.kernel("places", x.dtype, code).call(grid, (256,), (x, outs[0], walk, s))])

    return Override(forward)


OVERRIDES = {
    "sum": _bind(SUM)._replace(guard=_sums),
    "mean": _bind(SUM, mean=True),
    "max": _extremum(MAX),
    "min": _extremum(MIN),
    "argmax": _position(ARGMAX),
    "argmin": _position(ARGMIN),
}
