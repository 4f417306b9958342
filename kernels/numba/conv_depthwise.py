"""Depthwise convolution, every channel with a kernel of its own: vectors of channels, no sums over them.

    z[n, p, q, c]  = bias[c] + sum over kh, kw of x[n, p SH + kh DH - top, q SW + kw DW - left, c] w[kh, kw, c]
    dx[n, h, w, c] = sum of dz[n, p, q, c] w[kh, kw, c] where p SH + kh DH - top = h, and so for w
    dw[kh, kw, c]  = sum over n, p, q of dz[n, p, q, c] x[n, .., .., c]

A register holds the sums of some channels of one pixel while its window is read, from a band of rows of x with their
padding, as in `conv`. Bound by the loads, two for each product. With stride 1, dx is the correlation of dz with the
mirrored kernel: forward again.

`shape` is that of `conv`.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba.conv import fetch
from xpnn_kernels.numba.conv_gradient import WIDE, add_columns, zeros_line
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lines import clear, copy, mask
from xpnn_kernels.numba.simd_math import relu
from xpnn_kernels.numba.split import on_threads


@kernel
def row(tile, width, band, columns, w, bias, positive, z, p, z0, shape):
    """Row p of a band of z, or its ReLU."""
    _, _, _, C, _, Q, _, KH, KW, SH, SW, DH, DW, _, _, _ = shape
    for q in range(Q):
        for c in range(0, C, width):
            sums = simd.load(tile, bias, c, 0, 1, C - c if bias.size else 0)
            for i in range(KH):
                for j in range(KW):
                    at = ((p * SH + i * DH) * columns + q * SW + j * DW) * C + c
                    factor = simd.load(tile, w, (i * KW + j) * C + c, 0, 1, C - c)
                    sums = vector.add_product(simd.load(tile, band, at, 0, 1, C - c), factor, sums)
            if positive:
                sums = relu(sums)
            simd.store(sums, z, z0 + (p * Q + q) * C + c, 0, 1, C - c)


@on_threads
def forward(thread, threads, x, kept, masked, w, bias, y, positive, shape, height, bands):
    """y = x * w + bias, or with `positive` the ReLU of that. masked: x is a gradient, to be masked by `kept` first."""
    N, H, W, C, P, Q, _, KH, KW, SH, SW, DH, DW, top, left, _ = shape
    each, columns, band = -(-P // height), (Q - 1) * SW + (KW - 1) * DW + 1, bands[thread]
    for item in range(N * each * thread // threads, N * each * (thread + 1) // threads):
        n, p0 = item // each, item % each * height
        p1 = min(P, p0 + height)
        h0, h1 = p0 * SH - top, (p1 - 1) * SH + (KH - 1) * DH + 1 - top
        fetch(masked, x, kept, (n, H, W), C, h0, h1, -left, columns - left, band)
        for p in range(p1 - p0):
            z0 = (n * P + p0) * Q * C
            row(zeros_line(y), WIDE * simd.WIDTH // y.itemsize, band, columns, w, bias, positive, y, p, z0, shape)


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


@on_threads
def backward(thread, threads, x, dy, kept, masked, w, dx, dws, dbs, dzs, shape, height, bands):
    """dx, and for each thread its part of dw and db; those that are not wanted are empty."""
    N, H, W, C, P, Q, _, KH, KW, SH, SW, DH, DW, top, left, _ = shape
    columns, width, dz = (Q - 1) * SW + (KW - 1) * DW + 1, WIDE * simd.WIDTH // dzs.itemsize, dzs[thread]
    if dws.size:
        clear(dws[thread * KH * KW * C : (thread + 1) * KH * KW * C])
    if dbs.size:
        clear(dbs[thread * C : (thread + 1) * C])
    for n in range(N * thread // threads, N * (thread + 1) // threads):
        i0, i1 = n * P * Q * C, (n + 1) * P * Q * C
        if masked:
            mask(dy[i0:i1], kept[i0:i1], dz)
        else:
            copy(dy[i0:i1], dz)
        for p0 in range(0, P if dws.size else 0, height):
            p1 = min(P, p0 + height)
            h0, h1 = p0 * SH - top, (p1 - 1) * SH + (KH - 1) * DH + 1 - top
            fetch(False, x, x, (n, H, W), C, h0, h1, -left, columns - left, bands[thread])
            weight_rows(zeros_line(dz), width, bands[thread], columns, dz, p0, p1, dws, shape, thread)
        if dbs.size:
            add_columns(dz, P * Q, C, dbs, thread * C)
        for h in range(H if dx.size else 0):
            input_row(zeros_line(dz), width, dz, w, dx, n, h, shape)
