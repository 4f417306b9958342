"""Depthwise convolution: as many groups as channels, in and out."""

from __future__ import annotations

import numpy as np

from xpnn.backends.numba import activation as activations
from xpnn.backends.numba.conv_algorithm import Algorithm
from xpnn.backends.numba.conv_direct import mirrored, plan, shape_of
from xpnn.core.op import Spec
from xpnn_kernels.numba import conv_depthwise as kernels
from xpnn_kernels.numba import threads
from xpnn_kernels.numba.conv_gradient import add_up


def fits(specs, attrs) -> bool:
    w = specs[1].shape
    return attrs["groups"] > 1 and w[2] == 1 and w[3] == attrs["groups"]


def work(phase, x, w, b=None, *, activation, **attrs):
    shape, T = shape_of(x, w, **attrs), threads.threads()
    band = Spec((T, plan(x.dtype, shape).band()), x.dtype)
    if phase == "forward":
        return (band,)
    N, P, Q, C = shape[0], *shape[4:7]
    sums = Spec((T, P * Q * C), x.dtype), Spec((T * w.size,), x.dtype), Spec((T * C,), x.dtype)
    dz = () if activations.fused(activation) else (Spec((N, P, Q, C), x.dtype),)
    back = (w, Spec((T, plan(x.dtype, mirrored(shape)).band()), x.dtype)) if is_mirrored(shape) else ()
    return (band, *sums, *back, *dz)


def is_mirrored(shape) -> bool:
    """Is dx computed as forward is?"""
    return shape[9:11] == (1, 1)


def correlate(p, x, kept, masked, w, bias, y, positive, bands):
    size = p.shape, p.height, bands
    kernels.forward(bands.shape[0], x, kept, masked, w.reshape(-1), bias, y.reshape(-1), positive, *size)


def forward(outs, saved, x, w, b=None, *, activation, work, **attrs):
    flat, z = x.reshape(-1), (saved or outs)[0]
    bias = flat[:0] if b is None else b
    correlate(plan(x.dtype, shape_of(x, w, **attrs)), flat, flat, False, w, bias, z, activation == "relu", work[0])
    activations.after(activation, z, outs[0])


def backward(dins, douts, kept, *, activation, work, **attrs):
    x, w = kept.inputs[:2]
    dx, dw, db = (*dins, None)[:3]
    bands, dzs, dws, dbs = work[:4]
    p, source = plan(x.dtype, shape_of(x, w, **attrs)), (kept.saved or kept.outs)[0]
    dy, masked = activations.before(activation, source, douts[0], work[-1])
    dy, source, none = dy.reshape(-1), source.reshape(-1), dbs[:0]
    if dx is not None and is_mirrored(p.shape):
        turned, room = work[4:6]
        np.copyto(turned, w[::-1, ::-1])
        correlate(plan(x.dtype, mirrored(p.shape)), dy, source, masked, turned, none, dx, False, room)
        dx = None
    if dx is None and dw is None and db is None:
        return
    grads = (none if dx is None else dx.reshape(-1), none if dw is None else dws, none if db is None else dbs)
    arrays = x.reshape(-1), dy, source, masked, w.reshape(-1), *grads, dzs
    kernels.backward(bands.shape[0], *arrays, p.shape, p.height, bands)
    if dw is not None:
        add_up(dws, dw.reshape(-1))
    if db is not None:
        add_up(dbs, db)


DEPTHWISE = Algorithm("depthwise", fits, forward, backward, work)
