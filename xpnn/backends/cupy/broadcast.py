"""How kernels walk over arrays that are repeated along some axes, and over the sums of their gradients."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from xpnn.backends.cupy import reduction
from xpnn.core.op import Spec

Shape = tuple[int, ...]
AXES = 4
MANY = 1 << 31
"""Elements that kernels cannot count."""

Axis = tuple[int, tuple[int, ...]]
"""A length, and the strides of the arrays."""


def _axes(shapes: tuple[Shape, ...]) -> list[Axis]:
    """Of the result, with the strides of contiguous arrays of these shapes: 0 where one is repeated, or has one."""
    shape = np.broadcast_shapes(*shapes)
    columns = []
    for x in shapes:
        own = [prod(x[i + 1 :]) if n != 1 else 0 for i, n in enumerate(x)]
        columns.append([0] * (len(shape) - len(x)) + own)
    return [(n, strides) for n, strides in zip(shape, zip(*columns, strict=True), strict=True) if n != 1]


def _merged(axes: Iterable[Axis]) -> list[Axis]:
    """Neighbours as one axis where no array needs them apart."""
    found: list[Axis] = []
    for n, strides in axes:
        if found and all(outer == n * inner for outer, inner in zip(found[-1][1], strides, strict=True)):
            found[-1] = (found[-1][0] * n, strides)
        else:
            found.append((n, strides))
    return found


def _walk(axes: list[Axis], arrays: int) -> tuple[Any, ...]:
    """Walk of broadcast.cuh."""
    padded = [(1, (0,) * arrays)] * (AXES - len(axes)) + axes
    lengths, strides = zip(*padded, strict=True)
    columns = [*zip(*strides, strict=True), *[(0,) * AXES] * (3 - arrays)]
    return lengths, *columns, len(axes)


@lru_cache(4096)
def walk(*shapes: Shape) -> tuple[Any, ...] | None:
    """Over the elements of the result of two or three arrays; None where there are too many, or too many axes."""
    axes = _merged(_axes(shapes))
    return None if len(axes) > AXES or prod(np.broadcast_shapes(*shapes)) >= MANY else _walk(axes, len(shapes))


@lru_cache(4096)
def sums(to: Shape, *shapes: Shape) -> tuple[tuple[Any, ...], reduction.Shares]:
    """Over the elements of the result, those that go to one element of an array of shape `to` one after the other."""
    axes = _axes((to, *shapes))
    kept, summed = ([(n, s[1:]) for n, s in axes if (s[0] == 0) == zero] for zero in (False, True))
    n, R = (prod(length for length, _ in part) for part in (kept, summed))
    kept, summed = _merged(kept), _merged(summed)
    by_row = R > 1 and axes[-1][1][0] == 0
    return _walk(kept + summed, len(shapes)), reduction.shares(R, n, by_row, kept[-1][0] if kept else 1)


def work(dtype: np.dtype, targets: Iterable[Shape], *shapes: Shape) -> tuple[Spec, ...]:
    """What the parts of the sums to one of these shapes take, the most of them."""
    rooms = [reduction.room(sums(to, *shapes)[1], dtype) for to in targets]
    return max(rooms, key=lambda specs: sum(spec.size for spec in specs))
