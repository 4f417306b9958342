"""What follows from the sizes of a convolution, for its direct kernels: panels, bands of rows, tables."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from xpnn.core.op import Spec
from xpnn.ops import window as windows
from xpnn_kernels.numba import conv as kernels
from xpnn_kernels.numba import simd

BAND_BYTES = 96 * 1024
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
        """The columns of the panels for so many features: half a vector where that is enough, else the widest that adds
        the fewest zeros."""
        if kernels.HALVES and features <= self.lanes // 2:
            return self.lanes // 2
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


def plan(dtype, shape) -> Plan:
    _, _, _, C, P, Q, O, KH, KW, SH, SW, _, DW, _, _, groups = shape
    columns = (Q - 1) * SW + (KW - 1) * DW + 1
    row = max(Q * O, SH * columns * C) * dtype.itemsize
    height = max(1, min(P, BAND_BYTES // row))
    return Plan(shape, KH * KW * (C // groups), columns, height, simd.WIDTH // dtype.itemsize)


def shape_of(x, w, *, stride, padding, dilation, groups, **_) -> tuple[int, ...]:
    (N, H, W, C), (KH, KW, _, O) = x.shape, w.shape
    P, Q = windows.count("conv2d", (H, W), (KH, KW), stride, padding, dilation)
    return N, H, W, C, P, Q, O, KH, KW, *stride, *dilation, padding[0][0], padding[1][0], groups


def table_specs(p: Plan) -> tuple[Spec, ...]:
    pixels, index = p.height * p.shape[5], np.dtype(np.intp)
    return Spec((pixels + kernels.TALL,), index), Spec((p.K + kernels.TALL,), index)
