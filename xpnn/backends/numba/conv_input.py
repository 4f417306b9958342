"""The gradient of a convolution's input for few channels: a correlation along H, spread along W."""

from __future__ import annotations

import numpy as np

from xpnn.backends.numba.conv_plan import BAND_BYTES, Plan
from xpnn.core.op import Spec
from xpnn_kernels.numba import conv, threads
from xpnn_kernels.numba import conv_input as kernels

SCRATCH = 8
"""How many arrays `work` names."""


def fits(p: Plan) -> bool:
    """Is it less work than all of the window at every pixel of dz?"""
    _, H, _, C, P, _, _, KH, KW, SH, *_, groups = p.shape
    I = C // groups
    return SH == 1 and p.panels(KW * I) * KH * H < MORE * p.panels(KH * KW * I) * P


MORE = 1.6
"""Longer sums and fewer of them to spread make up for so many times the multiply-adds: 1.5 times them took 0.7 of the
time (3x3, one channel, 28x28), 1.4 times 0.45 (5x5, six channels, 14x14)."""


def _height(p: Plan, dtype: np.dtype) -> int:
    _, H, _, C, _, Q, O, *_ = p.shape
    return max(1, min(H, BAND_BYTES // (max(Q * O, p.columns * C) * dtype.itemsize)))


def work(p: Plan, dtype: np.dtype) -> tuple[Spec, ...]:
    """The two tables for dz and the two for dx, panels, and of each thread a band of dz, T and rows of dx."""
    _, _, _, C, _, Q, O, KH, KW, _, _, DH, *_, groups = p.shape
    height, part, I, N = _height(p, dtype), O // groups, C // groups, threads.threads()
    wide, index = p.panels(KW * I), np.dtype(np.intp)
    return (
        *[Spec((n + conv.TALL,), index) for n in (height * Q, KH * part, height * Q, KW * I)],
        Spec((groups * KH * part * wide,), dtype),
        Spec((N, (height + (KH - 1) * DH) * Q * O + conv.SLACK), dtype),
        Spec((N, conv.CHUNK * groups * wide + conv.SLACK), dtype),
        Spec((N, height * p.columns * C + conv.SLACK), dtype),
    )


def backward(p, dy, kept, masked, w, dx, work):
    N, H, W, C, P, Q, O, KH, KW, _, SW, DH, DW, _, _, groups = p.shape
    *tables, panels, bands, Ts, padded = work
    part, F, width = O // groups, KW * (C // groups), p.width(KW * (C // groups))
    conv.tables((N, P, Q, O, H, Q, F * groups, KH, 1, 1, 1, DH, 1, 0, 0, groups), *tables[:2])
    conv.tables((N, H, W, C, H, Q, O, 1, KW, 1, SW, 1, DW, 0, 0, groups), *tables[2:])
    conv.pack(w, KH, part, F, ((KH - 1) * F * O, part, -F * O, 1, O), groups, width, panels)
    tabs = tuple(tables[:2]), tuple(tables[2:])
    height, scratch = _height(p, dx.dtype), (bands, Ts, padded)
    kernels.backward(len(bands), dy, kept, masked, panels, dx, p.shape, height, width, *tabs, scratch)
