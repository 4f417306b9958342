"""The sums of products of a convolution and their gradients, one kernel position after the other: the oracle.

What is called convolution in networks is a correlation: the kernel is not mirrored.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from xpnn.core.op import Array, Namespace
from xpnn.ops import window as windows
from xpnn.ops.window import Padding, Pair


def _grouped(xp: Namespace, x: Array, groups: int) -> Array:
    """(..., groups C) as matrices (groups, M, C), one row for each pixel."""
    C, M = x.shape[-1] // groups, prod(x.shape[:-1])
    return xp.permute_dims(xp.reshape(x, (M, groups, C)), (1, 0, 2))


def _ungrouped(xp: Namespace, parts: Array, shape: Sequence[int]) -> Array:
    """The inverse of `_grouped`."""
    return xp.reshape(xp.permute_dims(parts, (1, 0, 2)), tuple(shape))


def correlate(
    xp: Namespace, x: Array, w: Array, counts: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """z[n, p, q, o] = sum of x[n, p SH + kh DH - top, q SW + kw DW - left, i] w[kh, kw, i, o] over kh, kw, i."""
    KH, KW, _, O = w.shape
    x = windows.pad(xp, x, padding, 0.0)
    z = xp.zeros((groups, x.shape[0] * prod(counts), O // groups), dtype=x.dtype)
    for i, j, where in windows.elements((KH, KW), counts, stride, dilation):
        z = z + _grouped(xp, x[where], groups) @ _grouped(xp, w[i, j, :, :], groups)
    return _ungrouped(xp, z, (x.shape[0], *counts, O))


def spread(
    xp: Namespace, dz: Array, w: Array, sizes: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """The transpose of `correlate`: dx[n, p SH + kh DH - top, q SW + kw DW - left, i] += dz[n, p, q, o] w[.., i, o]."""
    (KH, KW, I, _), (N, OH, OW, _) = w.shape, dz.shape
    ((top, _), (left, _)), (H, W) = padding, sizes
    dx = windows.pad(xp, xp.zeros((N, H, W, I * groups), dtype=dz.dtype), padding, 0.0)
    dz = _grouped(xp, dz, groups)
    for i, j, where in windows.elements((KH, KW), (OH, OW), stride, dilation):
        part = dz @ xp.matrix_transpose(_grouped(xp, w[i, j, :, :], groups))
        dx[where] += _ungrouped(xp, part, (N, OH, OW, I * groups))
    return dx[:, top : top + H, left : left + W, :]


def kernel_gradient(
    xp: Namespace, x: Array, dz: Array, window: Pair, stride: Pair, padding: Padding, dilation: Pair, groups: int
) -> Array:
    """dw[kh, kw, i, o] = sum of x[n, p SH + kh DH - top, q SW + kw DW - left, i] dz[n, p, q, o] over n, p, q."""
    C, (_, OH, OW, O) = x.shape[-1], dz.shape
    x, dz = windows.pad(xp, x, padding, 0.0), _grouped(xp, dz, groups)
    parts = [
        _ungrouped(xp, xp.matrix_transpose(_grouped(xp, x[where], groups)) @ dz, (C // groups, O))
        for _, _, where in windows.elements(window, (OH, OW), stride, dilation)
    ]
    return xp.reshape(xp.stack(parts), (*window, C // groups, O))
