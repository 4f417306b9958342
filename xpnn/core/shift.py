"""Shifted images: each of a batch moved by some pixels of its own, as training data that was never seen like this."""

from __future__ import annotations

from xpnn.core.op import Arg, Case, Cost, Op, Outline, register
from xpnn.errors import DTypeError, ShapeError


def _infer(x, by, fill, *, reach):
    if len(x.shape) != 4 or by.shape != (x.shape[0], 2):
        raise ShapeError(f"shift: expected images (N, H, W, C) and places (N, 2); got {x.shape} and {by.shape}")
    if x.dtype.kind != "f" or fill.dtype != x.dtype or fill.shape or by.dtype.kind != "i":
        raise DTypeError(
            f"shift: expected floating-point images, whole places, a number to fill; got {x}, {by}, {fill}"
        )
    return Outline((x,))


def _forward(xp, x, by, fill, *, reach):
    N, H, W, C = x.shape
    h = xp.astype(by[:, 0:1], xp.int64) - reach + xp.arange(H)[None, :]
    w = xp.astype(by[:, 1:2], xp.int64) - reach + xp.arange(W)[None, :]
    h_inside, w_inside = (h >= 0) & (h < H), (w >= 0) & (w < W)
    rows = xp.arange(N)[:, None] * H + xp.where(h_inside, h, xp.zeros_like(h))
    places = rows[:, :, None] * W + xp.where(w_inside, w, xp.zeros_like(w))[:, None, :]
    moved = xp.take(xp.reshape(x, (N * H * W, C)), xp.reshape(places, (-1,)), axis=0)
    inside = h_inside[:, :, None, None] & w_inside[:, None, :, None]
    return (xp.where(inside, xp.reshape(moved, x.shape), fill),), ()


SHIFT = register(
    Op(
        name="shift",
        inputs=("x", "by", "fill"),
        infer=_infer,
        forward=_forward,
        cost=lambda x, by, fill, reach: Cost(0, 2 * x.nbytes),
        cases=(
            Case((Arg((3, 5, 4, 2)), Arg((3, 2), "labels", high=5), Arg(())), {"reach": 2}),
            Case((Arg((2, 3, 3, 1)), Arg((2, 2), "labels", high=9), Arg(())), {"reach": 4}),
        ),
        large=(Case((Arg((512, 28, 28, 1)), Arg((512, 2), "labels", high=5), Arg(())), {"reach": 2}),),
    )
)
"""out[n, h, w] = x[n, h + by[n, 0] - reach, w + by[n, 1] - reach], `fill` where there is no such pixel.

x (N, H, W, C); by (N, 2) of a signed integer dtype, 0 to 2 reach; fill a scalar of x's dtype. Not differentiable.
"""
