"""Direct convolution, for all sizes: tables, panels and bands for the kernels of implicit GEMM."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from xpnn.backends.numba import activation as activations
from xpnn.backends.numba import conv_input
from xpnn.backends.numba.conv_algorithm import Algorithm, always
from xpnn.backends.numba.conv_plan import Plan, plan, shape_of, table_specs
from xpnn.core.op import Spec
from xpnn_kernels.numba import conv as kernels
from xpnn_kernels.numba import conv_gradient as gradients
from xpnn_kernels.numba import threads

CORRELATION = 4
"""How many scratch arrays `correlate` has: place, taps, panels, and a band of each thread."""


class Scratch(NamedTuple):
    """Of the gradients: specs, and then the arrays. A thread has a row of bands and of what follows."""

    place: Any
    taps: Any
    pixels: Any
    channels: Any
    panels: Any
    bands: Any
    dzs: Any
    Ts: Any
    padded: Any
    dws: Any
    dbs: Any


def mirrored(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The convolution of dz with the mirrored kernel that dx is, where the stride is 1."""
    N, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups = shape
    return N, P, Q, O, H, W, C, KH, KW, SH, SW, DH, DW, (KH - 1) * DH - top, (KW - 1) * DW - left, groups


def is_mirrored(p: Plan) -> bool:
    """Is dx computed like that? With few channels its vectors would be empty; then the window shares them: by
    `conv_input` where the stride along H is 1, else by what `conv_gradient` does."""
    return p.shape[9:11] == (1, 1) and p.shape[3] // p.shape[15] >= p.lanes


def work(phase, x, w, b=None, *, activation, **attrs):
    p = plan(x.dtype, shape_of(x, w, **attrs))
    if phase == "forward":
        return correlation_work(p, x.dtype)
    N, P, Q, O = p.shape[0], *p.shape[4:7]
    return (*gradient_work(p, x.dtype), *_input_work(p, x.dtype)) + (
        () if activations.fused(activation) else (Spec((N, P, Q, O), x.dtype),)
    )


def correlation_work(p, dtype):
    part, groups = p.shape[6] // p.shape[15], p.shape[15]
    panels = Spec((groups * p.K * p.panels(part),), dtype)
    return (*table_specs(p), panels, Spec((threads.threads(), p.band() + kernels.SLACK), dtype))


def gradient_work(p, dtype):
    T, groups = threads.threads(), p.shape[15]
    _, _, _, C, P, Q, O, KH, _, SH, _, DH, *_ = p.shape
    spread = not (is_mirrored(p) or conv_input.fits(p))
    padded = ((P - 1) * SH + (KH - 1) * DH + 1) * p.columns * C if spread else 0
    part, pixels, index = O // groups, p.height * Q, np.dtype(np.intp)
    place, taps = table_specs(p)
    return Scratch(
        place,
        taps,
        pixels=Spec((pixels + kernels.TALL,), index),
        channels=Spec((part,), index),
        panels=Spec((groups * part * p.panels(p.K) if spread else 0,), dtype),
        bands=Spec((T, p.band() + kernels.SLACK), dtype),
        dzs=Spec((T, pixels * O + kernels.SLACK), dtype),
        Ts=Spec((T, kernels.CHUNK * groups * p.panels(p.K) + kernels.SLACK if spread else 0), dtype),
        padded=Spec((T, padded + kernels.SLACK), dtype),
        dws=Spec((T * p.K * O,), dtype),
        dbs=Spec((T * O,), dtype),
    )


def _input_work(p, dtype):
    if is_mirrored(p):
        return correlation_work(plan(dtype, mirrored(p.shape)), dtype)
    return conv_input.work(p, dtype) if conv_input.fits(p) else ()


def correlate(p, x, kept, masked, w, strides, bias, y, positive, work):
    place, taps, panels, bands = work
    part, groups = p.shape[6] // p.shape[15], p.shape[15]
    kernels.tables(p.shape, place, taps)
    window = p.shape[7] * p.shape[8]
    kernels.pack(w, window, p.K // window, part, strides, groups, p.width(part), panels)
    size = p.shape, p.height, p.width(part), place, taps, bands
    kernels.forward(bands.shape[0], x, kept, masked, panels, bias, y, positive, *size)


def forward(outs, saved, x, w, b=None, *, activation, work, **attrs):
    p = plan(x.dtype, shape_of(x, w, **attrs))
    _, _, I, O = w.shape
    z, flat = (saved or outs)[0], x.reshape(-1)
    strides = 0, O // p.shape[15], I * O, O, 1
    bias, positive = flat[:0] if b is None else b, activation == "relu"
    correlate(p, flat, flat, False, w.reshape(-1), strides, bias, z.reshape(-1), positive, work)
    activations.after(activation, z, outs[0])


def backward(dins, douts, kept, *, activation, work, **attrs):
    x, w = kept.inputs[:2]
    dx, dw, db = (*dins, None)[:3]
    p = plan(x.dtype, shape_of(x, w, **attrs))
    source = (kept.saved or kept.outs)[0]
    s, rest = Scratch(*work[: len(Scratch._fields)]), work[len(Scratch._fields) :]
    dy, masked = activations.before(activation, source, douts[0], work[-1])
    dy, source, flat = dy.reshape(-1), source.reshape(-1), w.reshape(-1)
    _, _, I, O = w.shape
    groups = p.shape[15]
    part, window = O // groups, p.K // I
    if dx is not None and is_mirrored(p):
        q, y = plan(x.dtype, mirrored(p.shape)), dx.reshape(-1)
        strides = (window - 1) * I * O, part, -I * O, 1, O
        correlate(q, dy, source, masked, flat, strides, y[:0], y, False, rest[:CORRELATION])
        dx = None
    elif dx is not None and conv_input.fits(p):
        conv_input.backward(p, dy, source, masked, flat, dx.reshape(-1), rest[: conv_input.SCRATCH])
        dx = None
    if dx is None and dw is None and db is None:
        return
    kernels.tables(p.shape, s.place, s.taps)
    gradients.multiples(O, s.pixels.size - kernels.TALL, s.pixels)
    gradients.multiples(1, s.channels.size, s.channels)
    if dx is not None:
        kernels.pack(flat, 1, part, p.K, (0, part, 0, 1, O), groups, p.width(p.K), s.panels)
    gradients.backward(
        s.bands.shape[0],
        x.reshape(-1),
        dy,
        source,
        masked,
        s.panels,
        s.dbs[:0] if dx is None else dx.reshape(-1),
        s.dws if dw is not None else s.dws[:0],
        s.dbs if db is not None else s.dbs[:0],
        p.shape,
        p.height,
        (p.width(part), p.width(p.K)),
        (s.place, s.taps, s.pixels, s.channels),
        (s.bands, s.dzs, s.Ts, s.padded),
    )
    if dw is not None:
        gradients.add_up(s.dws, dw.reshape(-1))
    if db is not None:
        gradients.add_up(s.dbs, db)


DIRECT = Algorithm("direct", always, forward, backward, work)
