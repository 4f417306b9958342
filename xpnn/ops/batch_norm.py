"""Batch normalisation: each channel has mean 0 and variance 1 over the batch, then a gain and a shift of its own."""

from __future__ import annotations

from typing import Any

from xpnn.core.arithmetic import elementwise_cost, need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, register
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor
from xpnn.errors import ShapeError
from xpnn.ops.norm import asked, moments, need_channels, need_eps


def _infer(x, gamma, beta, *, eps):
    need_channels("batch_norm", x, 2, gamma=gamma, beta=beta)
    need_eps("batch_norm", eps)
    if not x.size:
        raise ShapeError(f"batch_norm: expected at least one value in every channel; got x {x.shape}")
    return Outline((x, gamma, gamma), (gamma, gamma))


def _forward(xp, x, gamma, beta, *, eps):
    mean, var = moments(xp, x, tuple(range(len(x.shape) - 1)))
    rstd = 1 / xp.sqrt(var + eps)
    y = gamma * ((x - mean) * rstd) + beta
    mean, var, rstd = (xp.reshape(a, gamma.shape) for a in (mean, var, rstd))
    return (y, mean, var), (+mean, rstd)


def _backward(xp, wanted, douts, kept, *, eps):
    (x, gamma, _), (mean, rstd), (dy, dmean, dvar) = kept.inputs, kept.saved, douts
    axes = tuple(range(len(x.shape) - 1))
    rows = x.size // x.shape[-1]
    far = x - mean
    dbeta, dgamma = xp.sum(dy, axis=axes), xp.sum(dy * far, axis=axes) * rstd
    dx = gamma * rstd * (dy - (dbeta + far * rstd * dgamma) / rows) + (dmean + 2 * far * dvar) / rows
    return asked(wanted, dx, dgamma, dbeta)


BATCH_NORM = register(
    Op(
        name="batch_norm",
        inputs=("x", "gamma", "beta"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "gamma"),
        cost=lambda x, gamma, beta, *, eps: Cost(8 * x.size, 3 * x.nbytes),
        cases=tuple(
            Case((Arg(shape), Arg(shape[-1:]), Arg(shape[-1:])), {"eps": eps})
            for shape, eps in (
                ((5, 3), 1e-5),
                ((2, 3, 4, 17), 1e-3),
                ((300, 2), 1e-5),  # several blocks of rows
                ((4, 5, 150), 1e-5),  # several columns of tiles
                ((3, 24, 24, 33), 1e-5),  # enough for threads
                ((1, 1, 1, 4), 1e-1),
            )
        ),
        large=(Case((Arg((64, 26, 26, 64)), Arg((64,)), Arg((64,))), {"eps": 1e-5}),),
    )
)


def _inference_infer(x, gamma, beta, mean, var, *, eps):
    need_channels("batch_norm_inference", x, 1, gamma=gamma, beta=beta, mean=mean, var=var)
    need_eps("batch_norm_inference", eps)
    return Outline((x,))


def _inference_forward(xp, x, gamma, beta, mean, var, *, eps):
    return ((x - mean) * (gamma / xp.sqrt(var + eps)) + beta,), ()


def _inference_backward(xp, wanted, douts, kept, *, eps):
    (x, gamma, _, mean, var), (dy,) = kept.inputs, douts
    rstd, axes = 1 / xp.sqrt(var + eps), tuple(range(len(x.shape) - 1))
    dgamma = xp.sum(dy * (x - mean), axis=axes) * rstd
    return *asked(wanted[:3], dy * (gamma * rstd), dgamma, xp.sum(dy, axis=axes)), None, None


BATCH_NORM_INFERENCE = register(
    Op(
        name="batch_norm_inference",
        inputs=("x", "gamma", "beta", "mean", "var"),
        infer=_inference_infer,
        forward=_inference_forward,
        backward=_inference_backward,
        keeps=("x", "gamma", "mean", "var"),
        constants=("mean", "var"),
        cost=lambda x, *_, eps: Cost(3 * x.size, 2 * x.nbytes),
        cases=tuple(
            Case(
                (Arg(shape), *[Arg(shape[-1:])] * 3, Arg(shape[-1:], "positive")),
                {"eps": 1e-5},
            )
            for shape in ((5, 3), (2, 3, 4, 17), (3, 24, 24, 33))
        ),
        large=(Case((Arg((64, 26, 26, 64)), *[Arg((64,))] * 3, Arg((64,), "positive")), {"eps": 1e-5}),),
    )
)


def _average_infer(old, new, *, rate, factor):
    need_floating("moving_average", old=old)
    need_floating("moving_average", new=new)
    if old.shape != new.shape:
        raise ShapeError(f"moving_average: expected new {old.shape}; got {new.shape}")
    return Outline((old,))


MOVING_AVERAGE = register(
    Op(
        name="moving_average",
        inputs=("old", "new"),
        infer=_average_infer,
        forward=lambda xp, old, new, *, rate, factor: ((old + rate * (factor * xp.astype(new, old.dtype) - old),), ()),
        cost=elementwise_cost(3),
        cases=(
            Case((Arg((7,)), Arg((7,))), {"rate": 0.1, "factor": 1.25}),
            Case((Arg((2, 3)), Arg((2, 3))), {"rate": 1.0, "factor": 1.0}),
        ),
        large=(Case((Arg((1024,)), Arg((1024,))), {"rate": 0.1, "factor": 1.0}),),
        updates=("old",),
    )
)
"""old + rate (factor new - old), in the dtype of old: as an update, a running mean or variance."""


def batch_norm(x: Any, gamma: Tensor, beta: Tensor, eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, mean and var of each channel: (y, mean, var).

    x (N, ..., C), float32 or float64; y like x; gamma, beta, mean, var (C,). mean and (biased) variance are
    those of the R values in a channel, over all axes but the last. Backward, with h = (x - mean) / sqrt(var + eps),
    sums over a channel, and dmean and dvar, the gradients that come in for the other two outputs:
        dbeta = sum dy      dgamma = sum dy h
        dx = gamma / sqrt(var + eps) (dy - (dbeta + h dgamma) / R) + (dmean + 2 (x - mean) dvar) / R
    Ioffe and Szegedy, ICML 2015, algorithm 1 and section 3. Raises ShapeError, DTypeError, ConfigError.
    """
    return apply(BATCH_NORM, as_tensor(x, gamma), gamma, beta, eps=eps)


def batch_norm_inference(x: Any, gamma: Tensor, beta: Tensor, mean: Any, var: Any, eps: float = 1e-5) -> Tensor:
    """y = gamma (x - mean) / sqrt(var + eps) + beta, with mean and var (C,) that are given, and constants.

    x (..., C), y like x; gamma, beta (C,). Backward: dx = dy gamma / sqrt(var + eps), dgamma, dbeta as in `batch_norm`.
    Ioffe and Szegedy, ICML 2015, algorithm 2. Raises ShapeError, DTypeError, ConfigError.
    """
    return apply(BATCH_NORM_INFERENCE, as_tensor(x, gamma), gamma, beta, mean, var, eps=eps)
