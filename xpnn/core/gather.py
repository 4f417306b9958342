"""Gather a batch: rows of a data set, in any order, as scaled floating-point numbers."""

from __future__ import annotations

from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.errors import DTypeError, ShapeError


def _infer(data, indices, scale, shift):
    if indices.dtype.kind not in "iu" or len(indices.shape) != 1:
        raise DTypeError(f"gather: expected indices (N,) of an integer dtype; got {indices}")
    if not data.shape:
        raise ShapeError("gather: expected data (rows, ...); got a scalar")
    if scale.shape or shift.shape or scale.dtype != shift.dtype or scale.dtype.kind != "f":
        raise DTypeError(f"gather: expected scale and shift of one floating-point dtype; got {scale} and {shift}")
    return Outline((Spec((*indices.shape, *data.shape[1:]), scale.dtype),))


def _forward(xp, data, indices, scale, shift):
    return (xp.astype(xp.take(data, indices, axis=0), scale.dtype) * scale + shift,), ()


def _cost(data, indices, scale, shift):
    out = _infer(data, indices, scale, shift).outs[0]
    return Cost(2 * out.size, out.size * data.dtype.itemsize + out.nbytes)


GATHER = register(
    Op(
        name="gather",
        inputs=("data", "indices", "scale", "shift"),
        infer=_infer,
        forward=_forward,
        cost=_cost,
        cases=(
            Case((Arg((7, 2, 3), "pixels"), Arg((4,), "labels", high=7), Arg(()), Arg(()))),
            Case((Arg((7, 5)), Arg((9,), "labels", high=7), Arg(()), Arg(()))),
        ),
        large=(Case((Arg((8192, 28, 28, 1), "pixels"), Arg((512,), "labels", high=8192), Arg(()), Arg(()))),),
    )
)
"""out[n] = data[indices[n]] * scale + shift: data (rows, ...) of any dtype, out in the dtype of scale."""
