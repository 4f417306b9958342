"""Transposed convolution: what a strided convolution made smaller becomes larger again (decoders, generators)."""

from __future__ import annotations

from typing import Any

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.core.tensor import Tensor, as_tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.ops import conv
from xpnn.ops import window as windows
from xpnn.ops.activation import ACTIVATIONS, need_activation
from xpnn.ops.correlation import correlate, kernel_gradient, spread


def sizes(x, w, stride, padding, output_padding, dilation):
    """(OH, OW), so that the convolution with these settings makes (H, W) of it."""
    rows, columns = (
        (n - 1) * s - sum(p) + (k - 1) * d + 1 + extra
        for n, k, s, p, extra, d in zip(x[1:3], w[:2], stride, padding, output_padding, dilation, strict=True)
    )
    return rows, columns


def _infer(x, w, b=None, *, stride, padding, output_padding, dilation, groups, activation):
    name = "conv_transpose2d"
    dtype = need_floating(name, x=x, w=w, **({} if b is None else {"b": b}))
    if len(w.shape) != 4:
        raise ShapeError(f"{name}: expected w (KH, KW, I, O); got {w.shape}")
    I, O = w.shape[2], w.shape[3] * groups
    conv.need_groups(name, I, groups, "input channels")
    conv.need_channels(name, x.shape, I, "H, W", "I of w (KH, KW, I, O)")
    conv.need_bias(name, b, O)
    need_activation(activation)
    if any(extra >= s for extra, s in zip(output_padding, stride, strict=True)):
        raise ConfigError(f"{name}: expected output_padding below the stride {stride}; got {output_padding}")
    OH, OW = sizes(x.shape, w.shape, stride, padding, output_padding, dilation)
    if min(OH, OW) < 1:
        raise ShapeError(f"{name}: expected x that leaves pixels after the padding {padding}; got {x.shape}")
    out = Spec((x.shape[0], OH, OW, O), dtype)
    needs_z = activation is not None and ACTIVATIONS[activation].reads == "x"
    return Outline((out,), (out,) if needs_z else ())


def _forward(xp, x, w, b=None, *, stride, padding, output_padding, dilation, groups, activation):
    out = sizes(x.shape, w.shape, stride, padding, output_padding, dilation)
    z = spread(xp, x, _turned(xp, w), out, stride, padding, dilation, groups)
    return conv.activated(xp, z, b, activation)


def _backward(xp, wanted, douts, kept, *, stride, padding, output_padding, dilation, groups, activation):
    x, w = kept.inputs[:2]
    dz = conv.deactivated(xp, douts[0], kept, activation)
    place = stride, padding, dilation, groups
    dx = correlate(xp, dz, _turned(xp, w), x.shape[1:3], *place) if wanted[0] else None
    dw = _turned(xp, kernel_gradient(xp, dz, x, w.shape[:2], *place)) if wanted[1] else None
    db = xp.sum(dz, axis=(0, 1, 2)) if wanted[-1] else None
    return (dx, dw, db)[: len(wanted)]


def _turned(xp, w):
    """The kernel of the convolution whose transpose this is: (KH, KW, O, I)."""
    return xp.permute_dims(w, (0, 1, 3, 2))


def _cost(x, w, b=None, **attrs):
    out = _infer(x, w, b, **attrs).outs[0]
    return Cost(2 * x.size * w.size / w.shape[2], x.nbytes + w.nbytes + out.nbytes)


def _case(x, w, bias=True, **attrs):
    settings = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "output_padding": (0, 0), "dilation": (1, 1)}
    settings |= {"groups": 1, "activation": None} | attrs
    return Case((Arg(x), Arg(w), *([Arg((w[-1] * settings["groups"],))] if bias else [])), settings)


_ONE, _UNEVEN = ((1, 1), (1, 1)), ((0, 2), (1, 0))

CONV_TRANSPOSE2D = register(
    Op(
        name="conv_transpose2d",
        inputs=("x", "w", "b?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "w", "out"),
        products=True,
        cost=_cost,
        cases=(
            _case((2, 4, 5, 3), (3, 3, 3, 5), activation="relu"),
            _case((2, 4, 5, 3), (2, 2, 3, 17), False, stride=(2, 2), activation="silu"),
            _case((2, 4, 3, 18), (4, 4, 18, 6), stride=(2, 2), padding=_ONE, activation="tanh"),
            _case((2, 4, 5, 3), (3, 2, 3, 4), stride=(3, 2), padding=_UNEVEN, output_padding=(2, 1)),
            _case((1, 3, 4, 2), (1, 2, 2, 3), stride=(3, 3)),  # pixels that no product reaches
            _case((2, 5, 4, 4), (3, 2, 4, 3), stride=(2, 1), dilation=(2, 3), padding=_ONE, output_padding=(1, 0)),
            _case((2, 4, 5, 6), (3, 3, 6, 2), groups=3, stride=(2, 2), activation="relu"),
            _case((3, 9, 8, 20), (3, 3, 20, 35), stride=(2, 2), padding=_ONE, output_padding=(1, 1)),
            *rounded(_case((2, 5, 4, 20), (4, 4, 20, 35), stride=(2, 2), padding=_ONE, activation="gelu")),
        ),
        large=(_case((32, 14, 14, 64), (4, 4, 64, 32), stride=(2, 2), padding=_ONE, activation="relu"),),
    )
)


def conv_transpose2d(
    x: Any,
    w: Tensor,
    b: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
    activation: str | None = None,
) -> Tensor:
    """y[n, h SH + kh DH - top, w SW + kw DW - left, o] += x[n, h, w, i] w[kh, kw, i, o], then f(y + b).

    The gradient that a convolution with these settings gives its input. x (N, H, W, I), w (KH, KW, I, O), b (O,), y (N,
    OH, OW, O) with OH = (H - 1) SH - top - bottom + (KH - 1) DH + 1 + extra rows: output_padding, below the stride,
    which of the sizes that the convolution makes H of is meant. With groups w is (KH, KW, I, O / groups). padding: a
    number, (rows, columns) or ((top, bottom), (left, right)); it takes pixels away here. Others as in `conv2d`.
    Zeiler et al., CVPR 2010; Dumoulin and Visin, arXiv:1603.07285, section 4. Raises ShapeError, DTypeError,
    ConfigError.
    """
    name = "conv_transpose2d"
    if isinstance(padding, str):
        raise ConfigError(f"{name}: expected padding as a number or pairs; got {padding!r}")
    stride, dilation = (
        windows.need_pair(name, what, value) for what, value in (("stride", stride), ("dilation", dilation))
    )
    return conv.convolved(
        CONV_TRANSPOSE2D,
        as_tensor(x, w),
        w,
        b,
        activation,
        stride=stride,
        padding=windows.need_padding(name, padding, (0, 0), (0, 0), stride),
        output_padding=windows.need_pair(name, "output_padding", output_padding, 0),
        dilation=dilation,
        groups=windows.need_size(name, "groups", groups),
    )
