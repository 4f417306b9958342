"""Copy: the values of one tensor in another, for state that training carries along."""

from __future__ import annotations

from xpnn.core.arithmetic import elementwise_cost
from xpnn.core.op import Arg, Case, Op, Outline, register
from xpnn.errors import ShapeError


def _infer(into, x):
    if into.shape != x.shape:
        raise ShapeError(f"copy: expected x {into.shape}; got {x.shape}")
    return Outline((into,))


COPY = register(
    Op(
        name="copy",
        inputs=("into", "x"),
        infer=_infer,
        forward=lambda xp, into, x: ((xp.astype(x, into.dtype),), ()),
        cost=elementwise_cost(0),
        cases=(Case((Arg((3, 5)), Arg((3, 5)))),),
        large=(Case((Arg((1024, 1024)), Arg((1024, 1024)))),),
        updates=("into",),
    )
)
"""The values of x in the dtype of `into`, in memory of their own; as an update, in that of `into`."""
