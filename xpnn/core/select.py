"""Ops that choose: where, clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.core.arithmetic import broadcast_shape, elementwise_cost, need_numbers, unbroadcast
from xpnn.core.op import Arg, Case, Op, Outline, Spec, register
from xpnn.errors import DTypeError, ShapeError

# where --------------------------------------------------------------------------------------------------------


def _where_infer(condition, x, y):
    if condition.dtype != np.dtype(bool) or x.dtype != y.dtype:
        raise DTypeError(f"where: expected a bool condition and one dtype; got {condition}, {x} and {y}")
    return Outline((Spec(broadcast_shape("where", condition.shape, x.shape, y.shape), x.dtype),))


def _where_backward(xp, wanted, douts, kept):
    condition, dz = kept.inputs[0], douts[0]
    zero = xp.zeros_like(dz)
    dx = unbroadcast(xp, xp.where(condition, dz, zero), kept.specs[1].shape) if wanted[1] else None
    dy = unbroadcast(xp, xp.where(condition, zero, dz), kept.specs[2].shape) if wanted[2] else None
    return None, dx, dy


WHERE = register(
    Op(
        name="where",
        inputs=("condition", "x", "y"),
        infer=_where_infer,
        forward=lambda xp, condition, x, y: ((xp.where(condition, x, y),), ()),
        backward=_where_backward,
        keeps=("condition",),
        cost=elementwise_cost(1),
        cases=(
            Case((Arg((3, 5), "bool"), Arg((3, 5)), Arg((3, 5)))),
            Case((Arg((3, 1), "bool"), Arg((5,)), Arg(()))),
        ),
        large=(Case((Arg((1024, 1024), "bool"), Arg((1024, 1024)), Arg((1024, 1024)))),),
    )
)

# clip ---------------------------------------------------------------------------------------------------------


def _clip_infer(x, low, high):
    need_numbers("clip", x)
    if x.dtype.kind != "f" and any(isinstance(bound, float) for bound in (low, high)):
        raise DTypeError(f"clip: expected whole numbers for x {x.dtype}; got {low} and {high}")
    if low is not None and high is not None and not low <= high:
        raise ShapeError(f"clip: expected low <= high; got low {low} and high {high}")
    return Outline((x,))


def _clip_backward(xp, wanted, douts, kept, low, high):
    x, dy = kept.inputs[0], douts[0]
    inside = xp.ones_like(x, dtype=xp.bool)
    if low is not None:
        inside = inside & (x >= low)
    if high is not None:
        inside = inside & (x <= high)
    return (xp.where(inside, dy, xp.zeros_like(dy)),)


CLIP = register(
    Op(
        name="clip",
        inputs=("x",),
        infer=_clip_infer,
        forward=lambda xp, x, low, high: ((xp.clip(x, low, high),), ()),
        backward=_clip_backward,
        keeps=("x",),
        updates=("x",),
        cost=elementwise_cost(2),
        cases=(
            Case((Arg((3, 5), "apart"),), {"low": -0.25, "high": 0.55}),
            Case((Arg((3, 5), "apart"),), {"low": None, "high": 0.55}),
        ),
        large=(Case((Arg((1024, 1024), "apart"),), {"low": -0.25, "high": 0.55}),),
    )
)


def plain_bound(bound: Any, dtype: np.dtype) -> float | int | None:
    """A bound of clip as Python's own number (a NumPy one would bring its dtype along), a float where x is one: the
    memo of routes does not tell 0 from 0.0."""
    if isinstance(bound, (np.generic, np.ndarray)) and bound.size == 1:
        bound = bound.item()
    if bound is not None and not isinstance(bound, (int, float)):
        raise DTypeError(f"clip: expected numbers as bounds; got {type(bound).__name__}")
    if dtype.kind in "iu" and isinstance(bound, float):
        raise DTypeError(f"clip: expected whole numbers as bounds of {dtype}; got {bound}")
    if bound is None:
        return None
    return float(bound) if dtype.kind == "f" else int(bound)
