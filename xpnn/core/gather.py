"""Gather a batch: the next rows of a data set in the order of an epoch, as scaled numbers, with their targets."""

from __future__ import annotations

import numpy as np

from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.errors import DTypeError, ShapeError


def _infer(data, targets, order, at, scale, shift, size):
    if not data.shape or targets.shape[:1] != data.shape[:1]:
        raise ShapeError(f"gather: expected data and targets (rows, ...); got {data.shape} and {targets.shape}")
    if order.dtype != np.int64 or at.dtype != np.int64 or len(order.shape) != 1 or at.shape:
        raise DTypeError(f"gather: expected order (N,) and at (), both int64; got {order} and {at}")
    if not 1 <= size <= order.size:
        raise ShapeError(f"gather: expected a size from 1 to {order.size}, the length of the order; got {size}")
    if scale.shape or shift.shape or scale.dtype != shift.dtype or scale.dtype.kind not in "fi":
        raise DTypeError(f"gather: expected scale and shift as scalars of one dtype; got {scale} and {shift}")
    return Outline((Spec((size, *data.shape[1:]), scale.dtype), targets._replace(shape=(size, *targets.shape[1:])), at))


def _forward(xp, data, targets, order, at, scale, shift, size):
    rows = xp.take(order, at + xp.arange(size, dtype=order.dtype), axis=0)
    x = xp.astype(xp.take(data, rows, axis=0), scale.dtype) * scale + shift
    return (x, xp.take(targets, rows, axis=0), at + size), ()


def _cost(data, targets, order, at, scale, shift, size):
    x, y, _ = _infer(data, targets, order, at, scale, shift, size).outs
    return Cost(2 * x.size, x.size * data.dtype.itemsize + x.nbytes + 2 * y.nbytes)


def _case(rows, data, targets, number="normal", high=1, size=4):
    order, at = Arg((2 * size + 1,), "labels", high=rows), Arg((), "labels", high=size + 1)
    return Case((data, targets, order, at, Arg((), number, high), Arg((), number, high)), {"size": size})


GATHER = register(
    Op(
        name="gather",
        inputs=("data", "targets", "order", "at", "scale", "shift"),
        infer=_infer,
        forward=_forward,
        cost=_cost,
        cases=(
            _case(7, Arg((7, 2, 3), "pixels"), Arg((7,), "labels", high=10)),
            _case(7, Arg((7, 5)), Arg((7, 3))),
            _case(6, Arg((6, 4), "labels", high=50), Arg((6, 4), "labels", high=50), "labels", 3),
        ),
        large=(_case(8192, Arg((8192, 28, 28, 1), "pixels"), Arg((8192,), "labels", high=10), size=512),),
        updates=("", "", "at"),
    )
)
"""x[n] = data[order[at + n]] * scale + shift, in the dtype of scale, y[n] = targets[order[at + n]] for n < size, and
the next `at`: a step that gathers its batch so needs to be told nothing."""
