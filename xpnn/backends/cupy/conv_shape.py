"""The sizes of a convolution as its kernels take them, and which of these serve them."""

from __future__ import annotations

from typing import NamedTuple

from xpnn.core.contract import floating
from xpnn.core.op import Spec

FEW = 8
"""Channels of a group below which sums are formed one by one: tiles of a matrix would be empty for the most part."""
MANY = 1 << 30
"""Pixels that kernels cannot count."""


class Shape(NamedTuple):
    """The large image (N, H, W, C), the small one (N, P, Q, O), and how windows lie: see conv.cuh."""

    N: int
    H: int
    W: int
    C: int
    P: int
    Q: int
    O: int
    KH: int
    KW: int
    SH: int
    SW: int
    DH: int
    DW: int
    top: int
    left: int
    groups: int

    @property
    def taps(self) -> int:
        """Rows of the gradient of the weights: taps times the large image's channels of a group."""
        return self.KH * self.KW * self.C // self.groups

    @property
    def weights(self) -> int:
        return self.taps * self.O

    @property
    def direct(self) -> bool:
        elements = self.N * max(self.H * self.W * self.C, self.P * self.Q * self.O)
        return self.groups > 1 and min(self.C, self.O) < FEW * self.groups and elements < 1 << 32


def shape_of(large, small, w, *, stride, padding, dilation, groups, **_) -> Shape:
    window = (*w.shape[:2], *stride, *dilation, padding[0][0], padding[1][0], groups)
    return Shape(*large.shape, *small.shape[1:], *window)


def fits(specs, attrs):
    """The guard: there is something to do, and it can be counted and spread over a grid."""
    images = [spec.shape for spec in specs[:2]]
    parts = attrs["groups"] * attrs["stride"][0] * attrs["stride"][1]
    return floating(specs, attrs) and min(map(min, images)) > 0 and parts < 1 << 16 and _pixels(specs, attrs) < MANY


def _pixels(specs, attrs):
    """More than either image has."""
    N, H, W, _ = specs[0].shape
    (top, bottom), (left, right) = attrs["padding"]
    if "output_padding" in attrs:  # transposed: windows of this stride, and what they leave
        (SH, SW), (KH, KW), (DH, DW) = attrs["stride"], specs[1].shape[:2], attrs["dilation"]
        return N * (H * SH + KH * DH) * (W * SW + KW * DW)
    return N * (H + top + bottom) * (W + left + right)


def slopes(y: Spec, activation: str | None) -> tuple[Spec, ...]:
    """What forward keeps: the derivative of the activation, so that whoever reads dy multiplies by it. That of relu is
    seen from y."""
    return () if activation in (None, "relu") else (y,)


def kept_slopes(kept, activation):
    """(the array that tells the derivative of the activation or None, is it relu's output?)."""
    if activation is None:
        return None, False
    return (kept.outs[0], True) if activation == "relu" else (kept.saved[0], False)
