"""Upsampling: images that are a whole number of times as high and wide."""

from __future__ import annotations

from math import floor
from typing import Any

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.tape import apply
from xpnn.errors import ShapeError, unknown
from xpnn.ops.window import need_pair

MODES = ("nearest", "bilinear")


def need_mode(mode: str) -> None:
    """ConfigError unless this is a way to find the new pixels."""
    if mode not in MODES:
        raise unknown("upsample2d: mode", mode, MODES)


def _infer(x, factor, mode):
    need_floating("upsample2d", x=x)
    need_mode(mode)
    if len(x.shape) != 4 or 0 in x.shape[1:3]:
        raise ShapeError(f"upsample2d: expected x (N, H, W, C) with at least one pixel; got {x.shape}")
    N, H, W, C = x.shape
    return Outline((Spec((N, H * factor[0], W * factor[1], C), x.dtype),))


def _taps(factor, mode):
    """For each of the `factor` new lines beside an old one: the old lines it is made of, as (distance, weight)."""
    for new in range(factor):
        at = (new + 0.5) / factor - 0.5 if mode == "bilinear" else 0.0
        low = floor(at)
        yield [(d, weight) for d, weight in ((low, 1 - (at - low)), (low + 1, at - low)) if weight]


def _stretch(xp, x, factor, mode):
    """x (N, H, R) to (N, H factor, R). The first and the last line go on beyond the border."""
    N, H, R = x.shape
    padded = xp.concat([x[:, :1, :], x, x[:, -1:, :]], axis=1)
    lines = [sum(padded[:, 1 + d : 1 + d + H, :] * weight for d, weight in taps) for taps in _taps(factor, mode)]
    return xp.reshape(xp.stack(lines, axis=2), (N, H * factor, R))


def _shrink(xp, dy, factor, mode):
    """dy (N, H factor, R) to dx (N, H, R): the transpose of `_stretch`."""
    N, OH, R = dy.shape
    H = OH // factor
    lines = xp.reshape(dy, (N, H, factor, R))
    padded = xp.zeros((N, H + 2, R), dtype=dy.dtype)
    for new, taps in enumerate(_taps(factor, mode)):
        for d, weight in taps:
            padded[:, 1 + d : 1 + d + H, :] += lines[:, :, new, :] * weight
    padded[:, 1, :] += padded[:, 0, :]
    padded[:, H, :] += padded[:, H + 1, :]
    return padded[:, 1 : H + 1, :]


def _forward(xp, x, factor, mode):
    (N, H, W, C), (FH, FW) = x.shape, factor
    rows = _stretch(xp, xp.reshape(x, (N, H, W * C)), FH, mode)
    columns = _stretch(xp, xp.reshape(rows, (N * H * FH, W, C)), FW, mode)
    return (xp.reshape(columns, (N, H * FH, W * FW, C)),), ()


def _backward(xp, wanted, douts, kept, factor, mode):
    (N, H, W, C), (FH, FW) = kept.specs[0].shape, factor
    columns = _shrink(xp, xp.reshape(douts[0], (N * H * FH, W * FW, C)), FW, mode)
    rows = _shrink(xp, xp.reshape(columns, (N, H * FH, W * C)), FH, mode)
    return (xp.reshape(rows, (N, H, W, C)),)


UPSAMPLE = register(
    Op(
        name="upsample2d",
        inputs=("x",),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        cost=lambda x, factor, mode: Cost(7 * factor[0] * factor[1] * x.size, (1 + factor[0] * factor[1]) * x.nbytes),
        cases=tuple(
            Case((Arg(shape),), {"factor": factor, "mode": mode})
            for mode in MODES
            for shape, factor in (
                ((2, 3, 4, 5), (2, 2)),
                ((1, 4, 3, 70), (3, 1)),
                ((2, 1, 2, 3), (2, 5)),
                ((1, 20, 20, 24), (2, 2)),
            )
        ),
        large=tuple(Case((Arg((64, 14, 14, 64)),), {"factor": (2, 2), "mode": mode}) for mode in MODES),
    )
)


def upsample2d(x: Any, factor: Any, mode: str = "nearest") -> Any:
    """y (N, H FH, W FW, C) of x (N, H, W, C): every pixel FH x FW times, or ("bilinear") straight lines between pixels.

    x: float32 or float64. factor: a whole number or a pair (FH, FW). Bilinear: new row o lies at the old row
    s = (o + 1/2) / FH - 1/2, held between 0 and H - 1, and has 1 - |s - h| of each old row h next to it; columns alike
    (pixels are areas: PyTorch's align_corners=False). Backward: the transpose of that. Raises ShapeError, DTypeError,
    ConfigError.
    """
    return apply(UPSAMPLE, x, factor=need_pair("upsample2d", "factor", factor), mode=mode)
