"""Convolution of images and sequences: correlation with a kernel, bias and activation as one op."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Array, Case, Cost, Namespace, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.ops import activation as activations
from xpnn.ops import window as windows
from xpnn.ops.activation import ACTIVATIONS, need_activation
from xpnn.ops.correlation import correlate, kernel_gradient, spread


def need_channels(
    name: str, x: Sequence[int], channels: int, axes: str, because: str = "I of w (..., I, O), times the groups"
) -> None:
    """ShapeError unless x is (N, axes, C) with so many channels; it knows what people bring instead."""
    wanted = f"{name}: expected x (N, {axes}, {channels}); got {tuple(x)}."
    rank = len(axes.split(",")) + 2
    if len(x) == rank and x[-1] == channels:
        return
    if len(x) == rank and x[1] == channels:
        order = (0, *range(2, rank), 1)
        raise ShapeError(f"{wanted} Channels come last here: x.transpose{order}")
    if len(x) == rank - 1 and x[-1] == channels:
        raise ShapeError(f"{wanted} One sample alone? Give it a batch axis: x[None]")
    if len(x) == rank - 1 and channels == 1:
        raise ShapeError(f"{wanted} Give it a channel axis: x[..., None]")
    raise ShapeError(f"{wanted} The channels of x are {because}")


def need_bias(name: str, b: Spec | None, features: int) -> None:
    if b is not None and b.shape != (features,):
        raise ShapeError(f"{name}: expected b ({features},), one for each output channel; got {b.shape}")


def need_groups(name: str, channels: int, groups: int, what: str = "output channels") -> None:
    if channels % groups:
        raise ConfigError(f"{name}: expected {what} that groups={groups} divides; got {channels}")


def _infer(x, w, b=None, *, stride, padding, dilation, groups, activation):
    dtype = need_floating("conv2d", x=x, w=w, **({} if b is None else {"b": b}))
    if len(w.shape) != 4:
        raise ShapeError(f"conv2d: expected w (KH, KW, I, O); got {w.shape}")
    KH, KW, I, O = w.shape
    need_groups("conv2d", O, groups)
    need_channels("conv2d", x.shape, I * groups, "H, W")
    need_bias("conv2d", b, O)
    need_activation(activation)
    N, H, W, _ = x.shape
    out = Spec((N, *windows.count("conv2d", (H, W), (KH, KW), stride, padding, dilation), O), dtype)
    needs_z = activation is not None and ACTIVATIONS[activation].reads == "x"
    return Outline((out,), (out,) if needs_z else ())


def activated(xp: Namespace, z: Array, b: Array | None, activation: str | None) -> tuple[Any, Any]:
    """(y,) = f(z + b), and (z + b,) saved where the derivative reads that."""
    z = z if b is None else z + b
    if activation is None:
        return (z,), ()
    f = ACTIVATIONS[activation]
    return (f.value(xp, z),), (z,) if f.reads == "x" else ()


def deactivated(xp: Namespace, dy: Array, kept: Any, activation: str | None) -> Array:
    """dz = dy f'(z)."""
    if activation is None:
        return dy
    f = ACTIVATIONS[activation]
    return dy * f.slope(xp, kept.saved[0] if f.reads == "x" else None, kept.outs[0])


def _forward(xp, x, w, b=None, *, stride, padding, dilation, groups, activation):
    counts = windows.count("conv2d", x.shape[1:3], w.shape[:2], stride, padding, dilation)
    return activated(xp, correlate(xp, x, w, counts, stride, padding, dilation, groups), b, activation)


def _backward(xp, wanted, douts, kept, *, stride, padding, dilation, groups, activation):
    x, w = kept.inputs[:2]
    dz = deactivated(xp, douts[0], kept, activation)
    place = stride, padding, dilation, groups
    dx = spread(xp, dz, w, x.shape[1:3], *place) if wanted[0] else None
    dw = kernel_gradient(xp, x, dz, w.shape[:2], *place) if wanted[1] else None
    db = xp.sum(dz, axis=(0, 1, 2)) if wanted[-1] else None
    return (dx, dw, db)[: len(wanted)]


def _cost(x, w, b=None, **attrs):
    out = _infer(x, w, b, **attrs).outs[0]
    return Cost(2 * out.size * prod(w.shape[:3]), x.nbytes + w.nbytes + out.nbytes)


def _case(x, w, bias=True, **attrs):
    settings = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, "activation": None}
    args = (Arg(x), Arg(w), *([Arg(w[-1:])] if bias else []))
    return Case(args, settings | {"precision": "exact"} | attrs)


_ONE, _UNEVEN = ((1, 1), (1, 1)), ((0, 2), (1, 0))

CONV2D = register(
    Op(
        name="conv2d",
        inputs=("x", "w", "b?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "w", "out"),
        products=True,
        cost=_cost,
        cases=(
            *(_case((2, 5, 6, 3), (3, 3, 3, 5), activation=name) for name in (None, *ACTIVATIONS)),
            _case((2, 5, 6, 3), (3, 3, 3, 5), False, activation="tanh", precision="fast"),
            _case((3, 9, 11, 4), (3, 3, 4, 18), False, padding=_ONE, activation="relu", precision="fast"),
            _case((2, 9, 11, 12), (3, 3, 12, 18), padding=_UNEVEN, activation="gelu", precision="fast"),
            _case((5, 13, 12, 17), (3, 3, 17, 70), padding=_ONE, activation="relu", precision="fast"),
            _case((2, 8, 7, 3), (3, 2, 3, 20), stride=(2, 3), padding=_ONE, activation="relu"),
            _case((2, 9, 8, 5), (3, 3, 5, 33), stride=(2, 2), padding=_UNEVEN),
            _case((1, 4, 5, 2), (1, 1, 2, 3), stride=(3, 2)),  # pixels that no window reaches
            _case((2, 9, 10, 3), (3, 2, 3, 4), dilation=(2, 3), padding=_UNEVEN, activation="gelu"),
            _case((2, 11, 9, 4), (3, 3, 4, 7), stride=(2, 3), dilation=(2, 2), padding=_ONE),
            _case((2, 7, 6, 6), (3, 3, 2, 9), groups=3, padding=_ONE, activation="relu"),
            _case((2, 6, 7, 6), (2, 3, 3, 4), groups=2, stride=(2, 1), dilation=(1, 2)),
            _case((2, 7, 8, 21), (3, 3, 1, 21), groups=21, padding=_ONE, activation="relu"),  # depthwise
            _case((2, 8, 7, 6), (3, 3, 1, 12), groups=6, stride=(2, 2), padding=_UNEVEN),
            _case((2, 9, 8, 18), (3, 3, 1, 18), groups=18, dilation=(1, 2), padding=_ONE),
            _case((2, 6, 5, 18), (1, 1, 18, 35), activation="relu"),  # a matrix product
            _case((2, 6, 5, 7), (1, 1, 7, 5), padding=_ONE),
            _case((2, 7, 6, 4), (7, 6, 4, 5)),  # one window
            _case((1, 1, 12, 3), (1, 5, 3, 4), padding=((0, 0), (4, 0)), activation="relu"),  # one row, causal
            _case((5, 13, 12, 17), (3, 3, 17, 70), padding=_ONE, activation="relu"),  # several blocks and threads
            *rounded(
                _case((2, 5, 6, 3), (3, 3, 3, 5), activation="tanh"),
                _case((3, 9, 11, 12), (3, 3, 12, 70), padding=_UNEVEN, stride=(2, 1)),
                _case((2, 7, 6, 16), (3, 3, 8, 18), groups=2, activation="gelu"),
            ),
        ),
        large=(
            _case((64, 26, 26, 32), (3, 3, 32, 64), activation="relu", precision="fast"),
            _case((64, 26, 26, 32), (3, 3, 32, 64), activation="relu"),
            _case((64, 28, 28, 1), (3, 3, 1, 32), activation="relu"),
            _case((64, 14, 14, 6), (5, 5, 6, 16), activation="relu"),
            _case((32, 28, 28, 256), (1, 1, 256, 64)),
            _case((32, 56, 56, 64), (3, 3, 64, 128), stride=(2, 2), padding=_ONE),
            _case((32, 28, 28, 128), (3, 3, 1, 128), groups=128, padding=_ONE),
        ),
    )
)


def convolved(op: Op, x: Tensor, w: Tensor, b: Tensor | None, activation: str | None, **attrs: Any) -> Tensor:
    """The op applied; "step" has no gradient, so it is not fused."""
    inputs = (x, w) if b is None else (x, w, b)
    if activation == "step":
        return activations.step(apply(op, *inputs, activation=None, **attrs))
    return apply(op, *inputs, activation=activation, **attrs)


def conv2d(
    x: Any,
    w: Tensor,
    b: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Tensor:
    """y[n, oh, ow, o] = f(b[o] + sum of x[n, oh SH + kh DH - top, ow SW + kw DW - left, i] w[kh, kw, i, o]).

    x (N, H, W, C), w (KH, KW, I, O) with I = C / groups, b (O,), y (N, OH, OW, O); all of one floating-point dtype.
    stride, dilation: a number or (rows, columns). padding with zeros: a number, (rows, columns), ((top, bottom), (left,
    right)), "valid" (none) or "same", which is as in TensorFlow and Keras: OH = ceil(H / SH), whatever the window; an
    odd row or column of zeros comes last. groups: the channels are cut into so many parts, output part g sees input
    part g alone (groups = C: depthwise). activation: None, "step" or a name in `xpnn.ops.activation.ACTIVATIONS`.

    Backward, with dz = dy f'(z): dw and dx are the same sums with dz in the place of y, db = sum of dz over n, oh, ow.
    LeCun et al., Proc. IEEE 86 (1998), section II; groups: Krizhevsky et al., NIPS 2012; dilation: Yu and Koltun, ICLR
    2016, eq. 2. `xpnn.precision` says whether faster sums may be used. Raises ShapeError, DTypeError, ConfigError.
    """
    x = as_tensor(x, w)
    KH, KW = _window("conv2d", w, ("KH", "KW"))
    stride, dilation = (
        windows.need_pair("conv2d", what, value) for what, value in (("stride", stride), ("dilation", dilation))
    )
    groups = windows.need_size("conv2d", "groups", groups)
    need_channels("conv2d", x.shape, w.shape[-2] * groups, "H, W")
    padding = windows.need_padding("conv2d", padding, (x.shape[1], x.shape[2]), (KH, KW), stride, dilation)
    return convolved(
        CONV2D,
        x,
        w,
        b,
        activation,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
    )


def conv1d(
    x: Any,
    w: Tensor,
    b: Tensor | None = None,
    stride: int = 1,
    padding: Any = 0,
    dilation: int = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Tensor:
    """y[n, t, o] = f(b[o] + sum over k, i of x[n, t S + k D - before, i] w[k, i, o]): `conv2d` of one row.

    x (N, T, C), w (K, I, O) with I = C / groups, b (O,), y (N, T', O). padding: a number, (before, after), "valid" or
    "same"; (D (K - 1), 0) makes it causal. The rest, and errors, as in `conv2d`.
    """
    x = as_tensor(x, w)
    (K,) = _window("conv1d", w, ("K",))
    stride, dilation, groups = (
        windows.need_size("conv1d", what, value)
        for what, value in (("stride", stride), ("dilation", dilation), ("groups", groups))
    )
    need_channels("conv1d", x.shape, w.shape[1] * groups, "T")
    if not isinstance(padding, str):
        padding = ((0, 0), windows.need_pair("conv1d", "padding", padding, 0))
    N, T, C = x.shape
    row = x.reshape(N, 1, T, C)
    y = conv2d(row, w.reshape(1, K, *w.shape[1:]), b, (1, stride), padding, (1, dilation), groups, activation)
    return y.reshape(N, *y.shape[2:])


def _window(name: str, w: Tensor, axes: tuple[str, ...]) -> tuple[int, ...]:
    """The sizes of the kernel w."""
    if w.ndim != len(axes) + 2:
        raise ShapeError(f"{name}: expected w ({', '.join(axes)}, I, O); got {w.shape}")
    return w.shape[: len(axes)]
