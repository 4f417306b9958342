"""Depthwise convolution, every channel with a kernel of its own: vectors of channels, no sums over them.

    z[n, p, q, c]  = bias[c] + sum over kh, kw of x[n, p SH + kh DH - top, q SW + kw DW - left, c] w[kh, kw, c]
    dx[n, h, w, c] = sum of dz[n, p, q, c] w[kh, kw, c] where p SH + kh DH - top = h, and so for w
    dw[kh, kw, c]  = sum over n, p, q of dz[n, p, q, c] x[n, .., .., c]

A register holds the sums of some channels of one pixel while its window is read, from a band of rows of x with their
padding, as in `conv`. Bound by the loads, two for each product.

`shape` is that of `conv`.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from xpnn_kernels.numba import activation, simd, vector
from xpnn_kernels.numba.conv import fetch
from xpnn_kernels.numba.conv_gradient import WIDE, add_columns, zeros_line
from xpnn_kernels.numba.jit import kernel

activate, deactivate = activation.forward, activation.backward


@kernel
def row(tile, width, band, columns, w, bias, z, p, z0, shape):
    """Row p of a band of z."""
    _, _, _, C, _, Q, _, KH, KW, SH, SW, DH, DW, _, _, _ = shape
    for q in range(Q):
        for c in range(0, C, width):
            sums = simd.load(tile, bias, c, 0, 1, C - c if bias.size else 0)
            for i in range(KH):
                for j in range(KW):
                    at = ((p * SH + i * DH) * columns + q * SW + j * DW) * C + c
                    factor = simd.load(tile, w, (i * KW + j) * C + c, 0, 1, C - c)
                    sums = vector.add_product(simd.load(tile, band, at, 0, 1, C - c), factor, sums)
            simd.store(sums, z, z0 + (p * Q + q) * C + c, 0, 1, C - c)


@kernel(parallel=True)
def forward(x, w, bias, z, y, code, parameter, shape, height, bands, threads):
    """y = f(z); z and y may be one array."""
    N, H, W, C, P, Q, _, KH, KW, SH, SW, DH, DW, top, left, _ = shape
    each, columns = -(-P // height), (Q - 1) * SW + (KW - 1) * DW + 1
    for thread in prange(threads):
        t = np.intp(thread)
        for item in range(N * each * t // threads, N * each * (t + 1) // threads):
            n, p0 = item // each, item % each * height
            p1 = min(P, p0 + height)
            h0, h1 = p0 * SH - top, (p1 - 1) * SH + (KH - 1) * DH + 1 - top
            fetch(False, x, x, (n, H, W), C, h0, h1, -left, columns - left, bands[t])
            z0, z1 = (n * P + p0) * Q * C, (n * P + p1) * Q * C
            for p in range(p1 - p0):
                row(zeros_line(z), WIDE * simd.WIDTH // z.itemsize, bands[t], columns, w, bias, z, p, z0, shape)
            if code != activation.NONE:
                activate(code, parameter, z[z0:z1], y[z0:z1])


@kernel
def input_row(tile, width, dz, w, dx, n, h, shape):
    """One row of dx, from dz of the whole image."""
    _, H, W, C, P, Q, _, KH, KW, SH, SW, DH, DW, top, left, _ = shape
    for v in range(W):
        for c in range(0, C, width):
            sums = tile
            for i in range(KH):
                p = h + top - i * DH
                if p >= 0 and p % SH == 0 and p // SH < P:
                    for j in range(KW):
                        q = v + left - j * DW
                        if q >= 0 and q % SW == 0 and q // SW < Q:
                            pixel = simd.load(tile, dz, (p // SH * Q + q // SW) * C + c, 0, 1, C - c)
                            factor = simd.load(tile, w, (i * KW + j) * C + c, 0, 1, C - c)
                            sums = vector.add_product(pixel, factor, sums)
            simd.store(sums, dx, ((n * H + h) * W + v) * C + c, 0, 1, C - c)


@kernel
def weight_rows(tile, width, band, columns, dz, p0, p1, dw, shape, at):
    """What rows p0..p1 of an image add to dw, a register of channels and one element of the window at a time."""
    _, _, _, C, _, Q, _, KH, KW, SH, SW, DH, DW, _, _, _ = shape
    for p in range(p0, p1):
        for c in range(0, C, width):
            for i in range(KH):
                for j in range(KW):
                    to = ((at * KH + i) * KW + j) * C + c
                    start = (((p - p0) * SH + i * DH) * columns + j * DW) * C + c
                    sums = simd.load(tile, dw, to, 0, 1, C - c)
                    for q in range(Q):
                        pixel = simd.load(tile, band, start + q * SW * C, 0, 1, C - c)
                        sums = vector.add_product(pixel, simd.load(tile, dz, (p * Q + q) * C + c, 0, 1, C - c), sums)
                    simd.store(sums, dw, to, 0, 1, C - c)


@kernel(parallel=True)
def backward(x, dy, kept, code, parameter, w, dx, dws, dbs, dzs, shape, height, bands, threads):
    """dx, and for each thread its part of dw and db; those that are not wanted are empty."""
    N, H, W, C, P, Q, _, KH, KW, SH, SW, DH, DW, top, left, _ = shape
    columns = (Q - 1) * SW + (KW - 1) * DW + 1
    for thread in prange(threads):
        t = np.intp(thread)
        width, dz = WIDE * simd.WIDTH // dzs.itemsize, dzs[t]
        for i in range(KH * KW * C if dws.size else 0):
            dws[t * KH * KW * C + i] = 0
        for i in range(C if dbs.size else 0):
            dbs[t * C + i] = 0
        for n in range(N * t // threads, N * (t + 1) // threads):
            i0, i1 = n * P * Q * C, (n + 1) * P * Q * C
            deactivate(code, parameter, kept[i0:i1], dy[i0:i1], dz)
            for p0 in range(0, P if dws.size else 0, height):
                p1 = min(P, p0 + height)
                h0, h1 = p0 * SH - top, (p1 - 1) * SH + (KH - 1) * DH + 1 - top
                fetch(False, x, x, (n, H, W), C, h0, h1, -left, columns - left, bands[t])
                weight_rows(zeros_line(dz), width, bands[t], columns, dz, p0, p1, dws, shape, t)
            if dbs.size:
                add_columns(dz, P * Q, C, dbs, t * C)
            for h in range(H if dx.size else 0):
                input_row(zeros_line(dz), width, dz, w, dx, n, h, shape)
