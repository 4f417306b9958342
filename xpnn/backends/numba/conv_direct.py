"""Direct convolution, for all sizes: tables, panels and bands for the kernels of implicit GEMM."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xpnn.backends.numba.activation import parameter
from xpnn.backends.numba.conv_algorithm import Algorithm, always
from xpnn.core.op import Spec
from xpnn.ops import window as windows
from xpnn_kernels.numba import conv as kernels
from xpnn_kernels.numba import conv_gradient as gradients
from xpnn_kernels.numba import simd, threads
from xpnn_kernels.numba.activation import CODES

BAND_BYTES = 48 * 1024
"""Of the larger of what a band of rows reads and writes: it is to stay in a core's cache beside the panels of w."""


class Plan(NamedTuple):
    """Everything that follows from the sizes."""

    shape: tuple[int, ...]
    """As the kernels want it: N, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups."""
    K: int
    """The products of a sum: KH KW I."""
    columns: int
    """Of x with its padding, as far as windows reach."""
    height: int
    """Rows of y that are computed together."""
    lanes: int

    def width(self, features: int) -> int:
        """The columns of the panels for so many features: the widest that adds the fewest zeros."""
        vectors = -(-features // self.lanes)
        padded = {n: -(-vectors // n) * n for n in (kernels.WIDE, kernels.MIDDLE, kernels.NARROW)}
        return self.lanes * next(n for n in padded if padded[n] == min(padded.values()))

    def panels(self, features: int) -> int:
        width = self.width(features)
        return -(-features // width) * width

    def band(self) -> int:
        """Elements of the rows of x under a band."""
        C, KH, SH, DH = (self.shape[i] for i in (3, 7, 9, 11))
        return ((self.height - 1) * SH + (KH - 1) * DH + 1) * self.columns * C


def plan(x, w, *, stride, padding, dilation, groups, **_) -> Plan:
    (N, H, W, C), (KH, KW, I, O) = x.shape, w.shape
    P, Q = windows.count("conv2d", (H, W), (KH, KW), stride, padding, dilation)
    columns = (Q - 1) * stride[1] + (KW - 1) * dilation[1] + 1
    row = max(Q * O, stride[0] * columns * C) * x.dtype.itemsize
    shape = (N, H, W, C, P, Q, O, KH, KW, *stride, *dilation, padding[0][0], padding[1][0], groups)
    height = max(1, min(P, BAND_BYTES // row))
    return Plan(shape, KH * KW * I, columns, height, simd.WIDTH // x.dtype.itemsize)


def table_specs(p: Plan) -> tuple[Spec, ...]:
    pixels, index = p.height * p.shape[5], np.dtype(np.intp)
    return Spec((pixels + kernels.TALL,), index), Spec((p.K + kernels.TALL,), index)


def work(phase, x, w, b=None, **attrs):
    p, T, dtype = plan(x, w, **attrs), threads.threads(), x.dtype
    _, _, _, C, P, Q, O, KH, *_, groups = p.shape
    part = O // groups
    bands = Spec((T, p.band() + kernels.SLACK), dtype)
    if phase == "forward":
        return (*table_specs(p), Spec((groups * p.K * p.panels(part),), dtype), bands)
    padded = ((P - 1) * p.shape[9] + (KH - 1) * p.shape[11] + 1) * p.columns * C
    pixels, channels = p.height * Q, part
    index = np.dtype(np.intp)
    return (
        *table_specs(p),
        Spec((pixels + kernels.TALL,), index),
        Spec((channels,), index),
        Spec((groups * part * p.panels(p.K),), dtype),
        bands,
        Spec((T, pixels * O + kernels.SLACK), dtype),
        Spec((T, kernels.CHUNK * groups * p.K), dtype),
        Spec((T, padded), dtype),
        Spec((T * p.K * O,), dtype),
        Spec((T * O,), dtype),
    )


def forward(outs, saved, x, w, b=None, *, activation, work, **attrs):
    p = plan(x, w, **attrs)
    place, taps, panels, bands = work
    O, groups = p.shape[6], p.shape[15]
    part = O // groups
    y = outs[0].reshape(-1)
    z = saved[0].reshape(-1) if saved else y
    flat = x.reshape(-1)
    kernels.tables(p.shape, place, taps)
    kernels.pack(w.reshape(-1), p.K, part, O, 1, groups, part, p.width(part), panels)
    bias = flat[:0] if b is None else b
    kernels.forward(
        flat,
        flat,
        CODES[None],
        0.0,
        panels,
        bias,
        z,
        y,
        CODES[activation],
        parameter(activation, {}),
        p.shape,
        p.height,
        p.width(part),
        (place, taps),
        bands,
        bands.shape[0],
    )


def backward(dins, douts, kept, *, activation, work, precision, **attrs):
    x, w = kept.inputs[:2]
    dx, dw, db = (*dins, None)[:3]
    p = plan(x, w, **attrs)
    place, taps, pixels, channels, panels, bands, dzs, Ts, padded, dws, dbs = work
    O, groups = p.shape[6], p.shape[15]
    part, source = O // groups, (kept.saved or kept.outs)[0].reshape(-1)
    kernels.tables(p.shape, place, taps)
    gradients.multiples(O, pixels)
    gradients.multiples(1, channels)
    if dx is not None:
        kernels.pack(w.reshape(-1), part, p.K, 1, O, groups, part, p.width(p.K), panels)
    gradients.backward(
        x.reshape(-1),
        douts[0].reshape(-1),
        source,
        CODES[activation],
        parameter(activation, {}),
        panels,
        dzs[0, :0] if dx is None else dx.reshape(-1),
        dws if dw is not None else dws[:0],
        dbs if db is not None else dbs[:0],
        p.shape,
        p.height,
        (p.width(part), p.width(p.K)),
        (place, taps, pixels, channels),
        (bands, dzs, Ts, padded),
        bands.shape[0],
    )
    if dw is not None:
        gradients.add_up(dws, dw.reshape(-1))
    if db is not None:
        gradients.add_up(dbs, db)


DIRECT = Algorithm("direct", always, forward, backward, work)
