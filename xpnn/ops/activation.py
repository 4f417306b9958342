"""Activations: one table of functions and derivatives, used by the ops here and by every op that fuses one.

A derivative is written from the output y wherever that is possible, so that the input need not be kept.
"""

from __future__ import annotations

from collections.abc import Callable
from math import pi, sqrt
from typing import Any, NamedTuple

from xpnn.core.arithmetic import elementwise_cost, need_floating
from xpnn.core.op import Arg, Array, Case, Namespace, Op, Outline, register
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError, unknown

GELU_SCALE = sqrt(2 / pi)
GELU_CUBIC = 0.044715


class Activation(NamedTuple):
    """y = value(xp, x) and dy/dx = slope(xp, x, y), where `reads` says which of x and y the slope reads."""

    value: Callable[[Namespace, Array], Array]
    slope: Callable[[Namespace, Array, Array], Array]
    reads: str


def _sigmoid(xp, x):
    e = xp.exp(-xp.abs(x))  # never overflows
    return xp.where(x >= 0, 1 / (1 + e), e / (1 + e))


def _gelu_tanh(xp, x):
    return xp.tanh(GELU_SCALE * (x + GELU_CUBIC * x * x * x))


def _gelu_slope(xp, x, y):
    x = xp.clip(x, -10.0, 10.0)  # beyond, the slope is 0 or 1 to the last bit, and x^3 would overflow
    t = _gelu_tanh(xp, x)
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x)


def _silu_slope(xp, x, y):
    s = _sigmoid(xp, x)
    return s * (1 + x * (1 - s))


def leaky_relu_of(slope: float) -> Activation:
    """The leaky rectifier with this slope below 0."""
    return Activation(
        lambda xp, x: xp.where(x > 0, x, slope * x),
        lambda xp, x, y: xp.where(x > 0, xp.ones_like(x), xp.full_like(x, slope)),
        "x",
    )


def elu_of(alpha: float) -> Activation:
    """The exponential linear unit that goes to -alpha."""
    return Activation(
        # minimum: the branch not taken must not overflow
        lambda xp, x: xp.where(x > 0, x, alpha * xp.expm1(xp.minimum(x, xp.zeros_like(x)))),
        lambda xp, x, y: xp.where(y > 0, xp.ones_like(y), y + alpha),
        "y",
    )


ACTIVATIONS: dict[str, Activation] = {
    "sigmoid": Activation(_sigmoid, lambda xp, x, y: y * (1 - y), "y"),
    "tanh": Activation(lambda xp, x: xp.tanh(x), lambda xp, x, y: 1 - y * y, "y"),
    "relu": Activation(lambda xp, x: xp.maximum(x, xp.zeros_like(x)), lambda xp, x, y: xp.astype(y > 0, y.dtype), "y"),
    "leaky_relu": leaky_relu_of(0.01),
    "elu": elu_of(1.0),
    "gelu": Activation(lambda xp, x: 0.5 * x * (1 + _gelu_tanh(xp, x)), _gelu_slope, "x"),
    "silu": Activation(lambda xp, x: x * _sigmoid(xp, x), _silu_slope, "x"),
    "softplus": Activation(
        lambda xp, x: xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x))),
        lambda xp, x, y: -xp.expm1(-y),
        "y",
    ),
    "hard_sigmoid": Activation(
        lambda xp, x: xp.clip(x / 6 + 0.5, 0.0, 1.0),
        lambda xp, x, y: xp.astype((y > 0) & (y < 1), y.dtype) / 6,
        "y",
    ),
}
"""Every activation with a gradient, by the name that layers take as `activation=`; parameters at their defaults."""


def need_activation(name: str | None) -> None:
    """ConfigError unless this is None or a name in the table."""
    if name is not None and name not in ACTIVATIONS:
        raise unknown("activation", name, [*ACTIVATIONS, "step"])


def _record(name: str, make: Callable[..., Activation], attrs: dict[str, Any]) -> Op:
    reads = make(**attrs).reads

    def infer(x, **_):
        need_floating(name, x=x)
        return Outline((x,))

    def backward(xp, wanted, douts, kept, **attrs):
        return (douts[0] * make(**attrs).slope(xp, kept.inputs[0], kept.outs[0]),)

    return register(
        Op(
            name=name,
            inputs=("x",),
            infer=infer,
            forward=lambda xp, x, **attrs: ((make(**attrs).value(xp, x),), ()),
            backward=backward,
            keeps=("x",) if reads == "x" else ("out",),
            cost=elementwise_cost(4),
            cases=tuple(Case((Arg(shape, "apart"),), attrs) for shape in ((4, 6), (2, 3, 5), (7, 4691))),
            large=(Case((Arg((1024, 1024), "apart"),), attrs),),
        )
    )


_TUNABLE = {"leaky_relu": (leaky_relu_of, {"slope": 0.01}), "elu": (elu_of, {"alpha": 1.0})}
OPS = {name: _record(name, *_TUNABLE.get(name, (lambda entry=entry: entry, {}))) for name, entry in ACTIVATIONS.items()}


def _step_infer(x):
    need_floating("step", x=x)
    return Outline((x,))


STEP = register(
    Op(
        name="step",
        inputs=("x",),
        infer=_step_infer,
        # NaN, the only x that differs from itself, stays
        forward=lambda xp, x: ((xp.where(x == x, xp.astype(x > 0, x.dtype), x),), ()),
        cost=elementwise_cost(1),
        cases=(Case((Arg((4, 6), "apart"),)),),
        large=(Case((Arg((1024, 1024), "apart"),)),),
    )
)


def sigmoid(x: Any) -> Tensor:
    """1 / (1 + exp(-x)). Any shape, float32 or float64; DTypeError otherwise (as for all functions here)."""
    return apply(OPS["sigmoid"], x)


def tanh(x: Any) -> Tensor:
    """(exp(x) - exp(-x)) / (exp(x) + exp(-x))."""
    return apply(OPS["tanh"], x)


def relu(x: Any) -> Tensor:
    """max(x, 0), with slope 0 at 0. Nair and Hinton, ICML 2010."""
    return apply(OPS["relu"], x)


def leaky_relu(x: Any, slope: float = 0.01) -> Tensor:
    """x for x > 0, slope * x below. Maas, Hannun and Ng, ICML 2013, section 2."""
    return apply(OPS["leaky_relu"], x, slope=float(slope))


def elu(x: Any, alpha: float = 1.0) -> Tensor:
    """x for x > 0, alpha (exp(x) - 1) below; alpha > 0. Clevert, Unterthiner and Hochreiter, ICLR 2016, eq. 15."""
    if not alpha > 0:
        raise ConfigError(f"elu: expected alpha > 0; got {alpha}")
    return apply(OPS["elu"], x, alpha=float(alpha))


def gelu(x: Any) -> Tensor:
    """0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))): the tanh form of Hendrycks and Gimpel (2016), section 2."""
    return apply(OPS["gelu"], x)


def silu(x: Any) -> Tensor:
    """x sigmoid(x), also called swish. Elfwing, Uchibe and Doya, Neural Networks 107 (2018), eq. 8."""
    return apply(OPS["silu"], x)


def softplus(x: Any) -> Tensor:
    """log(1 + exp(x)), without overflow. Dugas et al., NIPS 2000."""
    return apply(OPS["softplus"], x)


def hard_sigmoid(x: Any) -> Tensor:
    """x / 6 + 1/2, clipped to 0..1. Howard et al. (MobileNetV3), ICCV 2019, section 5.2."""
    return apply(OPS["hard_sigmoid"], x)


def step(x: Any) -> Tensor:
    """1 for x > 0, else 0: the threshold unit of McCulloch and Pitts (1943). It has no gradient."""
    return apply(STEP, x)
