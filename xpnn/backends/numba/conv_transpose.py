"""Transposed convolution on Numba: the direct convolution whose transpose it is, with forward and dx exchanged.

The weights are turned to (KH, KW, O, I) first: few numbers beside the pixels.
"""

from __future__ import annotations

import numpy as np

from xpnn.backends.numba import activation as activations
from xpnn.backends.numba import conv_direct
from xpnn.core.contract import Override, floating
from xpnn.core.op import Kept, Spec
from xpnn.ops.conv_transpose import CONV_TRANSPOSE2D
from xpnn_kernels.numba import activation as kernels


def _turned(w):
    KH, KW, I, O = w.shape
    return Spec((KH, KW, O, I), w.dtype)


def _work(phase, x, w, b=None, *, activation, **attrs):
    y, turned = CONV_TRANSPOSE2D.infer(x, w, b, activation=activation, **attrs).outs[0], _turned(w)
    back = conv_direct.work("backward", y, turned, activation=None, **attrs)
    if phase == "forward":
        return turned, *back
    dz = Spec((0,) if activation is None else y.shape, y.dtype)
    return turned, turned, dz, *conv_direct.work("forward", y, turned, activation=None, **attrs), *back


def _gradients(dins, y, turned, x, attrs, work):
    """Of the convolution of y, where x is the gradient that arrives: (dy, dturned), those that are not None."""
    conv_direct.backward(dins, (x,), Kept((y, turned), (x,), (), ()), activation=None, work=work, **attrs)


def _forward(outs, saved, x, w, b=None, *, activation, work, **attrs):
    (turned, *back), (y,) = work, outs
    z = saved[0] if saved else y
    np.copyto(turned, w.transpose(0, 1, 3, 2))
    _gradients((z, None), z, turned, x, attrs, back)
    if b is not None:
        np.add(z, b, out=z)
    if activation is not None:
        number = activations.parameter(activation, {})
        activations.run(kernels.forward, kernels.CODES[activation], number, z, y)


def _backward(dins, douts, kept, *, activation, work, **attrs):
    (x, w), (dx, dw, db) = kept.inputs[:2], (*dins, None)[:3]
    (turned, dturned, dz, *rest), source = work, (kept.saved or kept.outs)[0]
    if activation is None:
        dz = douts[0]
    else:
        number = activations.parameter(activation, {})
        arrays = source, douts[0], dz
        activations.run(kernels.backward, kernels.CODES[activation], number, *arrays)
    if dx is not None:
        np.copyto(turned, w.transpose(0, 1, 3, 2))
        conv_direct.forward((dx,), (), dz, turned, activation=None, work=rest[: conv_direct.CORRELATION], **attrs)
    if dw is not None:
        _gradients((None, dturned), dz, turned, x, attrs, rest[conv_direct.CORRELATION :])
        np.copyto(dw, dturned.transpose(0, 1, 3, 2))
    if db is not None:
        np.add.reduce(dz.reshape(-1, dz.shape[-1]), axis=0, out=db)


def _pixels(specs, attrs):
    return floating(specs, attrs) and min(*specs[0].shape, *specs[1].shape) > 0  # nothing there: the reference


OVERRIDES = {"conv_transpose2d": Override(_forward, _backward, _pixels, work=_work, lean=True)}
