"""Softmax, its logarithm, and the cross-entropy that follows it, each in one pass over the last axis."""

from __future__ import annotations

from typing import Any

from xpnn.core.arithmetic import elementwise_cost, need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.reduction import normalise_axes
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import ConfigError, DTypeError, ShapeError
from xpnn.ops.embedding import one_hot_rows
from xpnn.ops.loss import need_reduction


def _infer(name):
    def infer(x):
        need_floating(name, x=x)
        if not x.shape or x.shape[-1] == 0:
            raise ShapeError(f"{name}: expected x (..., C) with at least one class; got {x.shape}")
        return Outline((x,))

    return infer


def _shifted(xp, x):
    return x - xp.max(x, axis=-1, keepdims=True)  # the largest becomes 0: exp cannot overflow


def _softmax_forward(xp, x):
    e = xp.exp(_shifted(xp, x))
    return (e / xp.sum(e, axis=-1, keepdims=True),), ()


def _softmax_backward(xp, wanted, douts, kept):
    (y,), (dy,) = kept.outs, douts
    return (y * (dy - xp.sum(y * dy, axis=-1, keepdims=True)),)


def _log_softmax_forward(xp, x):
    x = _shifted(xp, x)
    return (x - xp.log(xp.sum(xp.exp(x), axis=-1, keepdims=True)),), ()


def _log_softmax_backward(xp, wanted, douts, kept):
    (y,), (dy,) = kept.outs, douts
    return (dy - xp.exp(y) * xp.sum(dy, axis=-1, keepdims=True),)


def _record(name, forward, backward):
    return register(
        Op(
            name=name,
            inputs=("x",),
            infer=_infer(name),
            forward=forward,
            backward=backward,
            keeps=("out",),
            cost=elementwise_cost(5),
            cases=tuple(Case((Arg(shape),)) for shape in ((4, 10), (2, 3, 7), (5,), (70, 250))),
            large=(Case((Arg((1024, 1024)),)),),
        )
    )


SOFTMAX = _record("softmax", _softmax_forward, _softmax_backward)
LOG_SOFTMAX = _record("log_softmax", _log_softmax_forward, _log_softmax_backward)


def _along(op: Op, x: Any, axis: int) -> Tensor:
    x = x if isinstance(x, Tensor) else tensor(x)
    at = normalise_axes(op.name, axis, x.ndim)[0]
    if at == x.ndim - 1:
        return apply(op, x)
    order = tuple(x.ndim - 1 if i == at else at if i == x.ndim - 1 else i for i in range(x.ndim))
    return apply(op, x.transpose(*order)).transpose(*order)


# cross-entropy ------------------------------------------------------------------------------------------------


def _cross_entropy_infer(logits, target, label_smoothing, reduction):
    dtype = need_floating("cross_entropy", logits=logits)
    need_reduction("cross_entropy", reduction)
    if not 0 <= label_smoothing < 1:
        raise ConfigError(f"cross_entropy: expected label_smoothing from 0 up to 1; got {label_smoothing}")
    if len(logits.shape) < 2 or logits.size == 0:
        raise ShapeError(f"cross_entropy: expected logits (N, ..., C), not empty; got {logits.shape}")
    if target.dtype.kind in "iu":
        if target.shape != logits.shape[:-1]:
            raise ShapeError(f"cross_entropy: expected labels {logits.shape[:-1]}; got {target.shape}")
    elif target.dtype != dtype:
        raise DTypeError(f"cross_entropy: expected integer labels or {dtype} targets; got {target.dtype}")
    elif target.shape != logits.shape:
        raise ShapeError(f"cross_entropy: expected one-hot targets {logits.shape}; got {target.shape}")
    out = Spec(logits.shape[:-1] if reduction == "none" else (), dtype)
    return Outline((out,), (logits,))


def _target_distribution(xp, target, logits, label_smoothing):
    """q = (1 - s) target + s / C; a label outside 0..C-1 makes its row NaN, so that it cannot pass unseen."""
    C = logits.shape[-1]
    if xp.isdtype(target.dtype, "integral"):
        target = one_hot_rows(xp, target, C, logits.dtype)
    return target * (1 - label_smoothing) + label_smoothing / C


def _scale(spec, reduction):
    return 1.0 / (spec.size // spec.shape[-1]) if reduction == "mean" else 1.0


def _cross_entropy_forward(xp, logits, target, label_smoothing, reduction):
    (log_p,), _ = _log_softmax_forward(xp, logits)
    q = _target_distribution(xp, target, logits, label_smoothing)
    # A class of weight 0 adds nothing, even where it is masked by a logit of -inf.
    loss = -xp.sum(q * xp.where(q == 0, xp.zeros_like(q), log_p), axis=-1)
    if reduction != "none":
        loss = xp.sum(loss) * _scale(Spec(logits.shape, logits.dtype), reduction)
    return (loss,), (xp.exp(log_p),)


def _cross_entropy_backward(xp, wanted, douts, kept, label_smoothing, reduction):
    (p,), (dy,), target = kept.saved, douts, kept.inputs[1]
    q = _target_distribution(xp, target, p, label_smoothing)
    # With targets that do not sum to one the weight of p is that sum.
    dlogits = p * xp.sum(q, axis=-1, keepdims=True) - q
    scale = dy[..., None] if reduction == "none" else dy * _scale(kept.specs[0], reduction)
    return dlogits * scale, None


CROSS_ENTROPY = register(
    Op(
        name="cross_entropy",
        inputs=("logits", "target"),
        infer=_cross_entropy_infer,
        forward=_cross_entropy_forward,
        backward=_cross_entropy_backward,
        keeps=("target",),
        constants=("target",),
        cost=lambda logits, target, **_: Cost(6 * logits.size, 2 * logits.nbytes + target.nbytes),
        cases=tuple(
            Case((Arg(shape), target), {"label_smoothing": smoothing, "reduction": reduction})
            for shape, target, smoothing, reduction in (
                ((4, 10), Arg((4,), "labels", high=10), 0.0, "mean"),
                ((4, 10), Arg((4,), "labels", high=10), 0.1, "sum"),
                ((4, 10), Arg((4, 10), "simplex"), 0.0, "mean"),
                ((4, 10), Arg((4, 10), "simplex"), 0.2, "none"),
                ((2, 3, 5), Arg((2, 3), "labels", high=5), 0.0, "mean"),
                ((64, 300), Arg((64,), "labels", high=300), 0.0, "mean"),
                ((64, 300), Arg((64, 300), "simplex"), 0.1, "sum"),
            )
        ),
        large=tuple(
            Case((Arg((N, C)), Arg((N,), "labels", high=C)), {"label_smoothing": 0.0, "reduction": "mean"})
            for N, C in ((64, 10), (128, 10_000))
        ),
    )
)


def softmax(x: Any, axis: int = -1) -> Tensor:
    """exp(x_c) / sum over c of exp(x_c), along an axis. Any shape, float32 or float64."""
    return _along(SOFTMAX, x, axis)


def log_softmax(x: Any, axis: int = -1) -> Tensor:
    """x_c - log(sum over c of exp(x_c)), along an axis; exact where softmax would round to 0."""
    return _along(LOG_SOFTMAX, x, axis)


def cross_entropy(logits: Tensor, target: Any, label_smoothing: float = 0.0, reduction: str = "mean") -> Tensor:
    """-sum over c of q_c log(softmax(logits)_c), averaged over the samples.

    logits (N, ..., C) before any softmax; target: integer labels (N, ...) from 0 to C - 1, or one-hot or soft targets
    in the logits' shape and dtype; q = (1 - label_smoothing) target + label_smoothing / C (Szegedy et al., CVPR 2016,
    section 7). reduction: "mean", "sum" or "none" (a loss per sample). Backward: (softmax(logits) - q) / N.

    A label out of range makes the loss and its row of the gradient NaN, on every backend alike: a device would have to
    be waited for to raise an error. Look at labels once, before the loop: xpnn.data.from_arrays(x, y, classes=C) raises
    DataError that names the row. Raises ShapeError, DTypeError, ConfigError.
    """
    return apply(
        CROSS_ENTROPY,
        logits,
        as_tensor(target, logits),
        label_smoothing=float(label_smoothing),
        reduction=reduction,
    )
