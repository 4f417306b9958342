"""Layer normalisation: each row has mean 0 and variance 1 over its features, which then have gains and shifts."""

from __future__ import annotations

from typing import Any

from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.ops.norm import asked, moments, need_channels, need_eps


def _infer(x, gamma=None, beta=None, *, eps):
    need_channels("layer_norm", x, 1, gamma=gamma, beta=beta)
    need_eps("layer_norm", eps)
    if not x.shape[-1]:
        raise ShapeError(f"layer_norm: expected at least one feature; got x {x.shape}")
    rows = Spec(x.shape[:-1], x.dtype)
    return Outline((x,), (rows, rows))


def _forward(xp, x, gamma=None, beta=None, *, eps):
    mean, var = moments(xp, x, (len(x.shape) - 1,))
    rstd = 1 / xp.sqrt(var + eps)
    y = (x - mean) * rstd
    if gamma is not None:
        y = gamma * y
    return (y if beta is None else y + beta,), (mean[..., 0], rstd[..., 0])


def _backward(xp, wanted, douts, kept, *, eps):
    (x, gamma), (mean, rstd), (dy,) = (*kept.inputs, None)[:2], kept.saved, douts
    h = (x - mean[..., None]) * rstd[..., None]
    dh = dy if gamma is None else gamma * dy
    inner = xp.mean(dh, axis=-1, keepdims=True) + h * xp.mean(dh * h, axis=-1, keepdims=True)
    axes = tuple(range(len(x.shape) - 1))
    return asked(wanted, rstd[..., None] * (dh - inner), xp.sum(dy * h, axis=axes), xp.sum(dy, axis=axes))


LAYER_NORM = register(
    Op(
        name="layer_norm",
        inputs=("x", "gamma?", "beta?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "gamma"),
        cost=lambda x, *_, eps: Cost(8 * x.size, 2 * x.nbytes),
        cases=tuple(
            Case((Arg(shape), *[Arg(shape[-1:])] * vectors), {"eps": eps})
            for shape, vectors, eps in (
                ((4, 7), 2, 1e-5),
                ((2, 3, 33), 2, 1e-3),
                ((3, 70), 0, 1e-5),
                ((5, 16), 1, 1e-5),
                ((9,), 2, 1e-5),
                ((130, 150), 2, 1e-5),  # enough for threads
            )
        ),
        large=(Case((Arg((4096, 512)), Arg((512,)), Arg((512,))), {"eps": 1e-5}),),
    )
)


def layer_norm(x: Any, gamma: Tensor | None = None, beta: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and biased variance of each row over its C features.

    x (..., C), float32 or float64; y like x; gamma, beta (C,), 1 and 0 where left out. Backward, with
    h = (x - mean) / sqrt(var + eps), dh = gamma dy and means over the row:
        dx = (dh - mean(dh) - h mean(dh h)) / sqrt(var + eps)      dgamma = sum of dy h over the rows, dbeta of dy
    Ba, Kiros and Hinton, arXiv 1607.06450 (2016), equations 3 and 4. Raises ShapeError, DTypeError, and ConfigError for
    a beta without a gamma.
    """
    if gamma is None:
        if beta is not None:
            raise ConfigError("layer_norm: expected gamma where beta is given; got None")
        return apply(LAYER_NORM, x if isinstance(x, Tensor) else tensor(x), eps=eps)
    inputs = (as_tensor(x, gamma), gamma) if beta is None else (as_tensor(x, gamma), gamma, beta)
    return apply(LAYER_NORM, *inputs, eps=eps)
