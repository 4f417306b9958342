"""Transposed convolution on CUDA: the convolution whose transpose it is, with forward and the gradient exchanged."""

from __future__ import annotations

from xpnn.backends.cupy import conv, conv_gradient
from xpnn.backends.cupy.conv_shape import fits, kept_slopes, shape_of, slopes
from xpnn.core.contract import Override, made
from xpnn.ops.conv_transpose import CONV_TRANSPOSE2D


def _forward(outs, saved, x, w, b=None, *, activation, precision="fast", **attrs):
    shape, slope = shape_of(outs[0], x, w, **attrs), (*saved, None)[0]
    return made([conv.sums(shape, x, w, outs[0], precision, spread=True, b=b, slope=slope, activation=activation)])


def _backward(dins, douts, kept, *, activation, work, precision="fast", **attrs):
    (x, w), (dx, dw, db), (dy,) = kept.inputs[:2], (*dins, None)[:3], douts
    shape, (slope, relu), calls = shape_of(dy, x, w, **attrs), kept_slopes(kept, activation), []
    if dx is not None:
        calls.append(conv.sums(shape, dy, w, dx, precision, spread=False, gradient=True, kept=slope, relu=relu))
    if dw is not None or db is not None:
        calls += conv_gradient.calls(shape, precision, (dy, slope, x, None), relu, work[0], dw, db, turned=True)
    return made(calls)


def _saved(*specs, activation, **attrs):
    return slopes(CONV_TRANSPOSE2D.infer(*specs, activation=activation, **attrs).outs[0], activation)


def _work(phase, x, w, b=None, **attrs):
    shape = shape_of(CONV_TRANSPOSE2D.infer(x, w, b, **attrs).outs[0], x, w, **attrs)
    bias = 0 if b is None else shape.C
    return () if phase == "forward" else (conv_gradient.room(shape, x.dtype, bias),)


OVERRIDES = {"conv_transpose2d": Override(_forward, _backward, fits, _saved, _work, lean=True, precision=True)}
