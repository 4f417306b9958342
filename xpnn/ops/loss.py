"""Losses between outputs and targets of one shape: one table of functions and derivatives, one record each.

Cross-entropy over classes lives with the softmax it contains, in softmax.py.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from typing import Any, NamedTuple

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Array, Case, Cost, Namespace, Op, Outline, Spec, register
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import ConfigError, DTypeError, ShapeError
from xpnn.ops.activation import ACTIVATIONS

REDUCTIONS = ("mean", "sum", "none")


def need_reduction(name: str, reduction: str) -> None:
    """ConfigError unless this is a reduction that losses take."""
    if reduction not in REDUCTIONS:
        raise ConfigError(f"{name}: expected reduction mean, sum or none; got {reduction!r}")


class Loss(NamedTuple):
    """l = value(xp, y, t) and dl/dy = slope(xp, y, t), element by element."""

    value: Callable[[Namespace, Array, Array], Array]
    slope: Callable[[Namespace, Array, Array], Array]
    per_sample: bool = False
    """Is l summed over each sample, so that "mean" divides by their number and not by that of the elements?"""


# A target that the formula does not mean is NaN, so that it cannot pass unseen.
def _bce_target(xp, t):
    return xp.where((t >= 0) & (t <= 1), t, xp.full_like(t, nan))


def _perceptron_target(xp, t):
    return xp.where(t == 0, xp.full_like(t, nan), t)  # labels 0 and 1 in the place of -1 and 1


def _bce_value(xp, y, t):
    zero = xp.zeros_like(y)
    return xp.maximum(y, zero) - y * _bce_target(xp, t) + xp.log1p(xp.exp(-xp.abs(y)))


def _perceptron_slope(xp, y, t):
    t = _perceptron_target(xp, t)
    margin = t * y
    # margin * 0 would make an infinite margin NaN; comparing leaves only NaN itself.
    return xp.where(margin <= 0, -t, xp.where(margin > 0, xp.zeros_like(margin), margin))


def huber_of(delta: float) -> Loss:
    """The loss that turns from a parabola into a line at a distance of delta."""

    def value(xp, y, t):
        e = xp.abs(y - t)
        m = xp.minimum(e, xp.full_like(e, delta))
        return m * (e - 0.5 * m)  # e^2 / 2 up to delta, delta (e - delta / 2) from there; nothing overflows

    return Loss(value, lambda xp, y, t: xp.clip(y - t, -delta, delta))


LOSSES: dict[str, Loss] = {
    "mean_squared_error": Loss(lambda xp, y, t: (y - t) * (y - t), lambda xp, y, t: 2 * (y - t)),
    "half_sum_of_squares": Loss(lambda xp, y, t: 0.5 * ((y - t) * (y - t)), lambda xp, y, t: y - t, per_sample=True),
    "binary_cross_entropy": Loss(_bce_value, lambda xp, y, t: ACTIVATIONS["sigmoid"].value(xp, y) - _bce_target(xp, t)),
    "perceptron": Loss(
        lambda xp, y, t: xp.maximum(-_perceptron_target(xp, t) * y, xp.zeros_like(y)), _perceptron_slope
    ),
    "l1": Loss(lambda xp, y, t: xp.abs(y - t), lambda xp, y, t: xp.sign(y - t)),
    "huber": huber_of(1.0),
}
"""Every loss between arrays of one shape, by name; parameters at their defaults."""


def loss_scale(name: str, y: Spec, reduction: str) -> float:
    """What the sum of all elements is multiplied with: 1, or for "mean" one over the number of what is averaged."""
    return 1.0 / (y.shape[0] if LOSSES[name].per_sample else y.size) if reduction == "mean" else 1.0


def _fit(y: Spec, target: Spec) -> str:
    """What to do about shapes that differ, in a few words."""
    if target.size == y.size:
        of_labels = "; of a Dataset y.astype('float32')[:, None]" if y.shape == (*target.shape, 1) else ""
        return f"Use target.reshape{y.shape}{of_labels}"
    if target.shape == y.shape[:-1]:
        return "Labels? Make them one-hot first"
    return "Give every output its target"


# What has options: how it is made from them, and those of the sample cases (no default, which a kernel might assume).
_TUNABLE: dict[str, tuple[Callable[..., Loss], dict[str, Any]]] = {"huber": (huber_of, {"delta": 0.7})}
# Drawn apart, no output lies so near the kink at 0 that a finite difference steps over it.
_KINDS = {"binary_cross_entropy": ("normal", "simplex"), "perceptron": ("apart", "apart")}


def _record(name: str, y_kind: str, target_kind: str) -> Op:
    make, sample = _TUNABLE.get(name, (lambda: LOSSES[name], {}))
    per_sample = LOSSES[name].per_sample

    def infer(y, target, reduction, **options):
        dtype = need_floating(name, y=y, target=target)
        need_reduction(name, reduction)
        if not all(value > 0 for value in options.values()):
            raise ConfigError(f"{name}: expected {', '.join(options)} > 0; got {', '.join(map(str, options.values()))}")
        if y.shape != target.shape:
            got = f"y {y.shape} and target {target.shape}"
            raise ShapeError(f"{name}: expected y and target of one shape; got {got}. {_fit(y, target)}")
        if y.size == 0 or (per_sample and not y.shape):
            raise ShapeError(f"{name}: expected y (N, ...), not empty; got {y.shape}")
        out = y.shape[:1] if per_sample else y.shape
        return Outline((Spec(out if reduction == "none" else (), dtype),))

    def forward(xp, y, target, reduction, **options):
        loss = make(**options).value(xp, y, target)
        if reduction != "none":
            return (xp.sum(loss) * loss_scale(name, Spec(y.shape, y.dtype), reduction),), ()
        return (xp.sum(loss, axis=tuple(range(1, y.ndim))) if per_sample and y.ndim > 1 else loss,), ()

    def backward(xp, wanted, douts, kept, reduction, **options):
        (y, target), (dout,) = kept.inputs, douts
        if reduction == "none" and per_sample:
            dout = xp.reshape(dout, (-1, *(1,) * (y.ndim - 1)))
        return make(**options).slope(xp, y, target) * (dout * loss_scale(name, kept.specs[0], reduction)), None

    return register(
        Op(
            name=name,
            inputs=("y", "target"),
            infer=infer,
            forward=forward,
            backward=backward,
            keeps=("y", "target"),
            constants=("target",),
            cost=lambda y, target, **_: Cost(4 * y.size, y.nbytes + target.nbytes),
            cases=tuple(
                Case((Arg(shape, y_kind), Arg(shape, target_kind)), {"reduction": reduction, **sample})
                for shape, reduction in (
                    *(((4, 6), reduction) for reduction in REDUCTIONS),
                    *(((2, 3, 5), reduction) for reduction in REDUCTIONS),
                    ((7, 1), "none"),
                    ((64, 300), "mean"),
                )
            ),
            large=(Case((Arg((512, 1024), y_kind), Arg((512, 1024), target_kind)), {"reduction": "mean", **sample}),),
        )
    )


OPS = {name: _record(name, *_KINDS.get(name, ("normal", "normal"))) for name in LOSSES}


def _apply(name: str, y: Any, target: Any, **attrs: Any) -> Tensor:
    y = y if isinstance(y, Tensor) else tensor(y)
    target = as_tensor(target, y)
    if target.dtype.kind in "biu":
        if target.dtype.kind == "b" and name == "perceptron":
            raise DTypeError("perceptron: expected targets -1 and 1; got bool. Use xpnn.where(target, 1.0, -1.0)")
        target = target.astype(y.dtype)
    return apply(OPS[name], y, target, **attrs)


def mean_squared_error(y: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The mean of (y - t)^2 over all elements.

    y: any shape, float32 or float64; target: the very same shape, in y's dtype (bool and integers are converted).
    reduction: "mean", "sum", or "none" for every element's own. Backward: 2 (y - t) / number of elements. Legendre,
    Nouvelles méthodes (1805), appendix. Raises ShapeError (nothing is broadcast), DTypeError, ConfigError.
    """
    return _apply("mean_squared_error", y, target, reduction=reduction)


def half_sum_of_squares(y: Any, target: Any, reduction: str = "mean") -> Tensor:
    """1/2 the sum of (y - t)^2 over a sample, averaged over the samples: the loss of classic backpropagation.

    y (N, ...), target in the same shape; dtypes and errors as in `mean_squared_error`. reduction: "mean" over the
    samples, "sum", or "none" for every sample's own (N,). Backward: (y - t) / N. Rumelhart, Hinton and Williams,
    Nature 323 (1986), eq. 3.
    """
    return _apply("half_sum_of_squares", y, target, reduction=reduction)


def binary_cross_entropy(y: Any, target: Any, reduction: str = "mean") -> Tensor:
    """-t log(s) - (1 - t) log(1 - s) with s = sigmoid(y), computed as max(y, 0) - y t + log(1 + exp(-|y|)).

    y: logits before any sigmoid; target: 0 to 1, in the same shape; one outside of that gives NaN. Dtypes, reduction
    and errors as in `mean_squared_error`. Backward: (s - t) / number of elements. Cox, J. R. Stat. Soc. B 20 (1958).
    """
    return _apply("binary_cross_entropy", y, target, reduction=reduction)


def perceptron(y: Any, target: Any, reduction: str = "mean") -> Tensor:
    """max(0, -t y): nothing for outputs on the target's side of 0, their distance from it for the others.

    y: outputs before any threshold; target: -1 or 1, in the same shape; a 0 gives NaN, bool a DTypeError. Dtypes,
    reduction and errors as in `mean_squared_error`. Backward: -t where t y <= 0, so that weights of 0 learn too:
    with one sample at a time and rate 1 this is the rule of Rosenblatt, Psychological Review 65 (1958).
    """
    return _apply("perceptron", y, target, reduction=reduction)


def l1(y: Any, target: Any, reduction: str = "mean") -> Tensor:
    """The mean of |y - t|, with slope 0 at 0. Shapes, dtypes, reduction and errors as in `mean_squared_error`.

    Edgeworth, Hermathena 6 (1887).
    """
    return _apply("l1", y, target, reduction=reduction)


def huber(y: Any, target: Any, delta: float = 1.0, reduction: str = "mean") -> Tensor:
    """e^2 / 2 for e = |y - t| up to delta, delta (e - delta / 2) beyond: outliers pull with a bounded force.

    delta > 0, in the unit of y. Shapes, dtypes, reduction and errors as in `mean_squared_error`. Backward: y - t,
    clipped to -delta..delta. Huber, Annals of Mathematical Statistics 35 (1964).
    """
    return _apply("huber", y, target, reduction=reduction, delta=float(delta))
