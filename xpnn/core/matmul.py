"""The matrix product; leading axes broadcast."""

from __future__ import annotations

from xpnn.core.arithmetic import broadcast_shape, need_floating, unbroadcast
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.errors import ShapeError


def _matmul_infer(x, y):
    dtype = need_floating("matmul", x=x, y=y)
    if len(x.shape) < 2 or len(y.shape) < 2 or x.shape[-1] != y.shape[-2]:
        raise ShapeError(f"matmul: expected x (..., N, I) and y (..., I, O); got {x.shape} and {y.shape}")
    lead = broadcast_shape("matmul", x.shape[:-2], y.shape[:-2])
    return Outline((Spec((*lead, x.shape[-2], y.shape[-1]), dtype),))


def _matmul_backward(xp, wanted, douts, kept):
    (x, y), dz = kept.inputs, douts[0]
    dx = unbroadcast(xp, dz @ xp.matrix_transpose(y), x.shape) if wanted[0] else None
    dy = unbroadcast(xp, xp.matrix_transpose(x) @ dz, y.shape) if wanted[1] else None
    return dx, dy


def _matmul_cost(x, y):
    out = _matmul_infer(x, y).outs[0]
    return Cost(2 * out.size * x.shape[-1], x.nbytes + y.nbytes + out.nbytes)


MATMUL = register(
    Op(
        name="matmul",
        inputs=("x", "y"),
        infer=_matmul_infer,
        forward=lambda xp, x, y: ((x @ y,), ()),
        backward=_matmul_backward,
        keeps=("x", "y"),
        products=True,
        cost=_matmul_cost,
        cases=(
            Case((Arg((3, 4)), Arg((4, 5)))),
            Case((Arg((2, 3, 4)), Arg((4, 5)))),
            Case((Arg((2, 1, 3, 4)), Arg((3, 4, 2)))),
            *rounded(Case((Arg((2, 3, 4)), Arg((4, 5)))), Case((Arg((2, 1, 37, 19)), Arg((3, 19, 41))))),
        ),
        large=(Case((Arg((512, 512)), Arg((512, 512)))), Case((Arg((64, 64, 64)), Arg((64, 64, 64))))),
    )
)
