"""Group normalisation: in each sample, groups of channels have mean 0 and variance 1, whatever the batch."""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.ops.norm import asked, moments, need_channels, need_eps


def need_groups(name: str, channels: int, groups: Any) -> None:
    if isinstance(groups, bool) or not isinstance(groups, int) or groups < 1 or channels % groups:
        raise ConfigError(f"{name}: expected groups that divide the {channels} channels; got {groups!r}")


def _infer(x, gamma, beta, *, groups, eps):
    need_channels("group_norm", x, 2, gamma=gamma, beta=beta)
    need_eps("group_norm", eps)
    need_groups("group_norm", x.shape[-1], groups)
    if not prod(x.shape[1:]):
        raise ShapeError(f"group_norm: expected at least one value in every group; got x {x.shape}")
    stats = Spec((x.shape[0], groups), x.dtype)
    return Outline((x,), (stats, stats))


def _split(xp, x, groups):
    """(N, ..., C) as (N, P, G, C / G)."""
    N, C = x.shape[0], x.shape[-1]
    return xp.reshape(x, (N, prod(x.shape[1:-1]), groups, C // groups))


def _forward(xp, x, gamma, beta, *, groups, eps):
    x4 = _split(xp, x, groups)
    mean, var = moments(xp, x4, (1, 3))
    rstd = 1 / xp.sqrt(var + eps)
    y = gamma * xp.reshape((x4 - mean) * rstd, x.shape) + beta
    return (y,), (mean[:, 0, :, 0], rstd[:, 0, :, 0])


def _backward(xp, wanted, douts, kept, *, groups, eps):
    (x, gamma, _), (mean, rstd), (dy,) = kept.inputs, kept.saved, douts
    mean, rstd = mean[:, None, :, None], rstd[:, None, :, None]
    h, dh = (_split(xp, x, groups) - mean) * rstd, _split(xp, gamma * dy, groups)
    inner = xp.mean(dh, axis=(1, 3), keepdims=True) + h * xp.mean(dh * h, axis=(1, 3), keepdims=True)
    axes = tuple(range(len(x.shape) - 1))
    dgamma = xp.sum(dy * xp.reshape(h, x.shape), axis=axes)
    return asked(wanted, xp.reshape(rstd * (dh - inner), x.shape), dgamma, xp.sum(dy, axis=axes))


GROUP_NORM = register(
    Op(
        name="group_norm",
        inputs=("x", "gamma", "beta"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "gamma"),
        cost=lambda x, *_, groups, eps: Cost(8 * x.size, 2 * x.nbytes),
        cases=tuple(
            Case((Arg(shape), Arg(shape[-1:]), Arg(shape[-1:])), {"groups": groups, "eps": 1e-5})
            for shape, groups in (
                ((2, 3, 4, 6), 3),
                ((3, 5, 4), 1),
                ((2, 7, 5), 5),
                ((4, 12), 2),
                ((2, 80, 70), 7),
                ((3, 24, 24, 32), 8),  # enough for threads
            )
        ),
        large=(Case((Arg((64, 26, 26, 64)), Arg((64,)), Arg((64,))), {"groups": 8, "eps": 1e-5}),),
    )
)


def group_norm(x: Any, gamma: Tensor, beta: Tensor, groups: int, eps: float = 1e-5) -> Tensor:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and biased variance over a group of a sample.

    x (N, ..., C), float32 or float64; y like x; gamma, beta (C,). A group is C / groups neighbouring channels at all
    positions of one sample: groups=1 takes all of them (layer normalisation of an image), groups=C each by itself
    (instance normalisation). Backward, with h = (x - mean) / sqrt(var + eps), dh = gamma dy and means over the group:
        dx = (dh - mean(dh) - h mean(dh h)) / sqrt(var + eps)     dgamma = sum dy h, dbeta = sum dy over all but C
    Wu and He, ECCV 2018, equations 1, 2, 6 and 7. Raises ShapeError, DTypeError, ConfigError
    (groups that do not divide the channels).
    """
    return apply(GROUP_NORM, as_tensor(x, gamma), gamma, beta, groups=groups, eps=eps)
