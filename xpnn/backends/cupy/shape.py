"""Ops that move elements on CUDA. What reshape, transpose and index give are views; only the last has a gradient that
is none."""

from __future__ import annotations

from functools import lru_cache
from math import prod

import numpy as np

from xpnn.backends.cupy.module import INTEGER, INTEGER_DTYPES, REAL, WHOLE_DTYPES, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.shape import thaw

ANY = (*REAL, *INTEGER, "bool")
SOURCE = Source(
    "shape",
    {
        "rows": (ANY,),
        "convert": (ANY, ANY),
        "take": (ANY, INTEGER),
        "take_back": (REAL, INTEGER),
        "index_back": (REAL,),
    },
)
AXES = 4
MANY = 1 << 31
"""Elements that a kernel cannot count in 32 bits."""


def _moved(specs, attrs):
    return floating(specs, attrs) or specs[0].dtype in WHOLE_DTYPES


def _parts(pairs, whole, axis, *, gather):
    """The launches that copy between arrays and their parts of a whole, end to end along an axis."""
    inner = prod(whole.shape[axis + 1 :])
    calls, start, pitch = [], 0, whole.shape[axis] * inner
    for x, length in pairs:
        width = length * inner
        if x is not None and x.size:
            there = whole.reshape(-1)[start:]
            ends = (x, there, width, width, pitch) if gather else (there, x, width, pitch, width)
            calls.append(SOURCE.kernel("rows", x.dtype).call(blocks(x.size), (256,), (*ends, x.size)))
        start += width
    return made(calls)


def _concat(outs, saved, *xs, axis):
    return _parts([(x, x.shape[axis]) for x in xs], outs[0], axis, gather=True)


def _concat_backward(dins, douts, kept, *, axis):
    return _parts(zip(dins, [s.shape[axis] for s in kept.specs], strict=True), douts[0], axis, gather=False)


def _take(outs, saved, x, indices, *, axis):
    y, kernel = outs[0], SOURCE.kernel("take", x.dtype, indices.dtype)
    args = (x, indices, y, x.shape[axis], prod(x.shape[axis + 1 :]), len(indices), y.size)
    return made([kernel.call(blocks(y.size), (256,), args)])


def _take_backward(dins, douts, kept, *, axis):
    dx, indices = dins[0], kept.inputs[1]
    kernel = SOURCE.kernel("take_back", dx.dtype, indices.dtype)
    args = (douts[0], indices, dx, dx.shape[axis], prod(dx.shape[axis + 1 :]), len(indices), dx.size)
    return made([kernel.call(blocks(dx.size), (256,), args)])


def _convert(x, y):
    return made([SOURCE.kernel("convert", x.dtype, y.dtype).call(blocks(x.size), (256,), (x, y, x.size))])


def _astype(outs, saved, x, *, dtype):
    return _convert(x, outs[0])


def _astype_backward(dins, douts, kept, *, dtype):
    return _convert(douts[0], dins[0])


def _to_kernels(specs, attrs):
    return _moved(specs, attrs) and np.dtype(attrs["dtype"]).name in (
        "float32",
        "float64",
        *[d.name for d in WHOLE_DTYPES],
    )


@lru_cache(4096)
def _slices(shape, key):
    """Slices of shape.cu, over as few axes as that takes; None where it takes more than AXES."""
    entries = [entry for entry in thaw(key) if entry is not None]
    if Ellipsis in entries:
        at = entries.index(Ellipsis)
        entries[at : at + 1] = [slice(None)] * (len(shape) - len(entries) + 1)
    entries += [slice(None)] * (len(shape) - len(entries))
    found: list[tuple[int, int, int, int]] = []
    for n, entry in zip(shape, entries, strict=True):
        taken = range(n)[entry] if isinstance(entry, slice) else range(entry % n, entry % n + 1)
        axis = n, taken.start, taken.step, len(taken)
        if found and found[-1] == (found[-1][0], 0, 1, found[-1][0]) and axis == (n, 0, 1, n):
            axis = n * found[-1][0], 0, 1, n * found.pop()[0]
        found.append(axis)
    if len(found) > AXES or prod(shape) >= MANY:
        return None
    return tuple(zip(*[(1, 0, 1, 1)] * (AXES - len(found)), *found, strict=True))


def _index_backward(dins, douts, kept, *, key):
    dx = dins[0]
    args = (douts[0], dx, _slices(dx.shape, key), dx.size)
    return made([SOURCE.kernel("index_back", dx.dtype).call(blocks(dx.size), (256,), args)])


OVERRIDES = {
    "concat": Override(_concat, _concat_backward, _moved),
    "take": Override(
        _take, _take_backward, lambda specs, attrs: _moved(specs, attrs) and specs[1].dtype in INTEGER_DTYPES
    ),
    "astype": Override(_astype, _astype_backward, _to_kernels),
    "index": Override(
        None,
        _index_backward,
        lambda specs, attrs: floating(specs, attrs) and _slices(specs[0].shape, attrs["key"]) is not None,
    ),
}
