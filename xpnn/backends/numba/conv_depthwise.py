"""Depthwise convolution: as many groups as channels, in and out."""

from __future__ import annotations

from xpnn.backends.numba.activation import parameter
from xpnn.backends.numba.conv_algorithm import Algorithm
from xpnn.backends.numba.conv_direct import plan, shape_of
from xpnn.core.op import Spec
from xpnn_kernels.numba import conv_depthwise as kernels
from xpnn_kernels.numba import threads
from xpnn_kernels.numba.activation import CODES
from xpnn_kernels.numba.conv_gradient import add_up


def fits(specs, attrs) -> bool:
    w = specs[1].shape
    return attrs["groups"] > 1 and w[2] == 1 and w[3] == attrs["groups"]


def work(phase, x, w, b=None, **attrs):
    shape, T = shape_of(x, w, **attrs), threads.threads()
    band = Spec((T, plan(x.dtype, shape).band()), x.dtype)
    if phase == "forward":
        return (band,)
    dz = Spec((T, shape[4] * shape[5] * shape[3]), x.dtype)
    return band, dz, Spec((T * w.size,), x.dtype), Spec((T * shape[3],), x.dtype)


def forward(outs, saved, x, w, b=None, *, activation, work, **attrs):
    y, flat = outs[0].reshape(-1), x.reshape(-1)
    z = saved[0].reshape(-1) if saved else y
    function = CODES[activation], parameter(activation, {})
    bias = flat[:0] if b is None else b
    p, bands = plan(x.dtype, shape_of(x, w, **attrs)), work[0]
    kernels.forward(flat, w.reshape(-1), bias, z, y, *function, p.shape, p.height, bands, bands.shape[0])


def backward(dins, douts, kept, *, activation, work, **attrs):
    x, w = kept.inputs[:2]
    dx, dw, db = (*dins, None)[:3]
    bands, dzs, dws, dbs = work
    p = plan(x.dtype, shape_of(x, w, **attrs))
    source = (kept.saved or kept.outs)[0].reshape(-1)
    kernels.backward(
        x.reshape(-1),
        douts[0].reshape(-1),
        source,
        CODES[activation],
        parameter(activation, {}),
        w.reshape(-1),
        dbs[:0] if dx is None else dx.reshape(-1),
        dbs[:0] if dw is None else dws,
        dbs[:0] if db is None else dbs,
        dzs,
        p.shape,
        p.height,
        bands,
        bands.shape[0],
    )
    if dw is not None:
        add_up(dws, dw.reshape(-1))
    if db is not None:
        add_up(dbs, db)


DEPTHWISE = Algorithm("depthwise", fits, forward, backward, work)
