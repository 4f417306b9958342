"""Convolution on CUDA: sums over windows by implicit GEMM, or one by one for groups of few channels."""

from __future__ import annotations

from xpnn.backends.cupy import conv_direct, conv_gradient
from xpnn.backends.cupy.activation import CODES, parameter
from xpnn.backends.cupy.conv_shape import fits, kept_slopes, shape_of, slopes
from xpnn.backends.cupy.formats import FORMATS, format_of
from xpnn.backends.cupy.module import Source, blocks
from xpnn.core.contract import Override, made
from xpnn.ops.conv import CONV2D

TILE_BYTES, WIDTHS = 512, {16: 1.6, 32: 1.2, 64: 1.0}
"""Pixels of a block, one number each; its channels, and what a sum costs where few make it read more (an estimate)."""
SOURCE = Source("conv", {"convolve": (FORMATS, tuple(WIDTHS), ("false", "true"))})


def sums(
    shape,
    source,
    w,
    out,
    precision,
    *,
    spread,
    gradient=False,
    kept=None,
    relu=False,
    b=None,
    slope=None,
    activation=None,
):
    """The launch that fills `out`: from the large image to the small one, or `spread` the other way.

    gradient: source is one, to be multiplied by what `kept` tells; else b, activation and its slope go out.
    """
    SH, SW = (shape.SH, shape.SW) if spread else (1, 1)
    pixels = shape.N * -(-out.shape[1] // SH) * -(-out.shape[2] // SW)  # those that leave one rest, at the most
    code, number, flag = CODES[activation], parameter(activation, {}), str(gradient).lower()
    args = (source, kept, relu, w, b, out, slope, code, number, spread, shape)
    if shape.direct:
        grid = *blocks(pixels * out.shape[3]), SH * SW
        return conv_direct.SOURCE.kernel("direct", out.dtype, flag).call(grid, (256,), args)
    channels = out.shape[3] // shape.groups
    width = min(WIDTHS, key=lambda n: WIDTHS[n] * n * -(-channels // n))
    grid = -(-pixels // (TILE_BYTES // out.dtype.itemsize)) * -(-channels // width), SH * SW * shape.groups
    return SOURCE.kernel("convolve", format_of(out.dtype, precision), width, flag).call(grid, (256,), args)


def _forward(outs, saved, x, w, b=None, *, activation, precision="fast", **attrs):
    shape, slope = shape_of(x, outs[0], w, **attrs), (*saved, None)[0]
    return made([sums(shape, x, w, outs[0], precision, spread=False, b=b, slope=slope, activation=activation)])


def _backward(dins, douts, kept, *, activation, work, precision="fast", **attrs):
    (x, w), (dx, dw, db), (dy,) = kept.inputs[:2], (*dins, None)[:3], douts
    shape, (slope, relu), calls = shape_of(x, dy, w, **attrs), kept_slopes(kept, activation), []
    if dx is not None:
        calls.append(sums(shape, dy, w, dx, precision, spread=True, gradient=True, kept=slope, relu=relu))
    if dw is not None or db is not None:
        calls += conv_gradient.calls(shape, precision, (x, None, dy, slope), relu, work[0], dw, db)
    return made(calls)


def _saved(*specs, activation, **attrs):
    return slopes(CONV2D.infer(*specs, activation=activation, **attrs).outs[0], activation)


def _work(phase, x, w, b=None, **attrs):
    shape = shape_of(x, CONV2D.infer(x, w, b, **attrs).outs[0], w, **attrs)
    bias = 0 if b is None else shape.O
    return () if phase == "forward" else (conv_gradient.room(shape, x.dtype, bias),)


OVERRIDES = {"conv2d": Override(_forward, _backward, fits, _saved, _work, lean=True, precision=True)}
