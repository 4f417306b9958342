"""Reductions on CUDA; gradients of max and min go by the reference."""

from __future__ import annotations

from math import prod

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

# In the order of reduction.cu.
SUM, MAX, MIN, ARGMAX, ARGMIN = range(5)
SOURCE = Source("reduction", {"values": (REAL, (SUM, MAX, MIN)), "places": (REAL, (ARGMAX, ARGMIN)), "spread": (REAL,)})
AXES = 4


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
    """(number, length of the inner axis, strides) over the one or two axes that are reduced, or that are kept."""
    lengths = [n for n, _ in axes]
    mine = [(n, prod(lengths[i + 1 :])) for i, (n, reduced) in enumerate(axes) if reduced == kind]
    (_, outer), (inner, step) = [(1, 0), (1, 0), *mine][-2:]
    return prod(n for n, _ in mine), inner, outer, step


def _geometry(shape, reduced):
    """How a block goes over x: the walks, by_row, width."""
    axes = _axes(shape, reduced)
    (R, *rest), kept = _walk(axes, True), _walk(axes, False)
    by_row = not axes or axes[-1][1]
    if by_row:  # a few elements a thread
        lanes = min(256, 1 << max(-(-R // 4) - 1, 0).bit_length())
        return R, (*rest, *kept), by_row, 256 // lanes
    return R, (*rest, *kept), by_row, min(32, 1 << max(kept[0] - 1, 0).bit_length())


def _parts(shape, reduced):
    """Into how many parts the elements of a result go: results alone would leave the GPU idle."""
    R, (*_, n, _, _, _), _, width = _geometry(shape, reduced)
    return max(1, min(256 // max(1, n // width), R * width // 4096))


def _work(phase, x, *, axis, keepdims):
    parts = _parts(x.shape, axis) if phase == "forward" else 1
    return (Spec((parts, max(1, prod(n for i, n in enumerate(x.shape) if i not in axis))), x.dtype),) * (parts > 1)


def _launch(name, code, x, y, shape, reduced, count, parts):
    R, walks, by_row, width = _geometry(shape, reduced)
    n = walks[3]
    args = (x, y, R, *walks, by_row, width, count)
    return SOURCE.kernel(name, x.dtype, code).call((max(1, -(-n // width)), parts), (256,), args)


def _bind(code, mean=False):
    def forward(outs, saved, x, *, axis, keepdims, work):
        count = prod(x.shape[i] for i in axis) if mean else 1
        if not work:
            return made([_launch("values", code, x, outs[0], x.shape, axis, count, 1)])
        (parts,) = work
        first = _launch("values", code, x, parts, x.shape, axis, 1, len(parts))
        return made([first, _launch("values", code, parts, outs[0], parts.shape, (0,), count, 1)])

    def backward(dins, douts, kept, *, axis, keepdims, work):
        dx, after = dins[0], 1
        lengths: list[int] = []
        strides: list[int] = []
        for n, reduced in reversed(_axes(dins[0].shape, axis)):
            lengths.insert(0, n)
            strides.insert(0, 0 if reduced else after)
            after *= 1 if reduced else n
        lengths, strides = [1] * (AXES - len(lengths)) + lengths, [0] * (AXES - len(strides)) + strides
        args = (douts[0], dx, prod(dx.shape[i] for i in axis) if mean else 1, *lengths[1:], *strides, dx.size)
        return made([SOURCE.kernel("spread", dx.dtype).call(blocks(dx.size), (256,), args)])

    return Override(forward, backward if code == SUM else None, _guard, work=_work)


def _guard(specs, attrs):
    return floating(specs, attrs) and specs[0].size > 0 and len(_axes(specs[0].shape, attrs["axis"])) <= AXES


def _position(code):
    def forward(outs, saved, x, *, axis):
        return made([_launch("places", code, x, outs[0], x.shape, (axis,), 1, 1)])

    return Override(forward)


OVERRIDES = {
    "sum": _bind(SUM),
    "mean": _bind(SUM, mean=True),
    "max": _bind(MAX),
    "min": _bind(MIN),
    "argmax": _position(ARGMAX),
    "argmin": _position(ARGMIN),
}
