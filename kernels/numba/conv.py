"""Convolution of images (N, H, W, C) as matrix products of rows that are never copied out: implicit GEMM.

    z[m, o] = sum over k of band[place[m] + taps[k]] w[k, o]        m a pixel of z, k = (kh, kw, i)

A thread takes a band of output rows, copies the rows of x under it, with their padding, to its cache (`band`), and
from there two tables say where every factor lies: `place` by pixel, `taps` by element of the window. Stride, dilation,
padding and groups are in the tables alone. A register tile of pixels x output channels sums over all k; w was packed
into panels, one for each tile's width. Bias starts the sums, the activation follows while they are in the cache.

`shape` is (N, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups). Bound by the multiply-add units.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from xpnn_kernels.numba import activation, rows, simd
from xpnn_kernels.numba.jit import kernel

activate, deactivate = activation.forward, activation.backward

WIDE, MIDDLE, NARROW = (4, 2, 1) if simd.REGISTERS == 32 else (2, 2, 1)
TALL, LOW = (12, 6) if simd.REGISTERS == 32 else (6, 6)
"""Tiles: LOW pixels x WIDE vectors, TALL x MIDDLE, TALL x NARROW."""
CHUNK = 48
"""Pixels whose results are finished before the next are begun; whole tiles of every kind."""
SLACK = 4 * simd.WIDTH
"""Elements beyond the end that tiles may read, whatever is there."""

zeros_wide, zeros_middle, zeros_narrow = simd.zeros(LOW, WIDE), simd.zeros(TALL, MIDDLE), simd.zeros(TALL, NARROW)


@kernel
def pack(w, taps, I, O, strides, groups, width, panels):
    """panels[g, block, (t, i), :] = w[start + g gs + t ts + i is + o os], strides (start, gs, ts, is, os), for the o of
    the block: `width` columns, then zeros."""
    begin, gs, ts, si, so = strides
    at = 0
    for g in range(groups):
        for o0 in range(0, O, width):
            count = min(width, O - o0)
            for t in range(taps):
                for i in range(I):
                    start = begin + g * gs + t * ts + i * si + o0 * so
                    for o in range(count):
                        panels[at + o] = w[start + o * so]
                    for o in range(count, width):
                        panels[at + o] = 0
                    at += width


@kernel
def tables(shape, place, taps):
    """Where pixel m of a band is in its rows of x, and where element k of the window is from there."""
    _, _, _, C, _, Q, _, KH, KW, SH, SW, DH, DW, _, _, groups = shape
    pitch = ((Q - 1) * SW + (KW - 1) * DW + 1) * C
    for m in range(place.size):
        place[m] = m // Q * SH * pitch + m % Q * SW * C
    I = C // groups
    K = KH * KW * I
    for k in range(taps.size):
        tap = min(k, K - 1)
        taps[k] = tap // (KW * I) * DH * pitch + tap // I % KW * DW * C + tap % I


@kernel
def fetch(code, parameter, source, kept, image, C, r0, r1, c0, c1, band):
    """Rows r0..r1 and columns c0..c1 of an image, zeros beyond it; times f' of what was kept, unless code is NONE."""
    n, H, W = image
    to, middle = 0, max(min(c1, W) - max(c0, 0), 0) * C
    before = min(max(-c0, 0), c1 - c0) * C
    after = (c1 - c0) * C - before - middle
    for r in range(r0, r1):
        if 0 <= r < H:
            start = ((n * H + r) * W + max(c0, 0)) * C
            for i in range(before):
                band[to + i] = 0
            to += before
            deactivate(
                code,
                parameter,
                kept[start : start + middle],
                source[start : start + middle],
                band[to : to + middle],
            )
            to += middle
            for i in range(after):
                band[to + i] = 0
            to += after
        else:
            for i in range((c1 - c0) * C):
                band[to + i] = 0
            to += (c1 - c0) * C


@kernel
def strip(tile, height, a, place, m0, m1, taps, offset, K, panel, b0, width, bias, n0, count, z, z0, pitch):
    """z[m, n0:n0 + count] = bias + sum over k of a[place[m] + taps[k] + offset] panel[k] for m0 <= m < m1."""
    for m in range(m0, m1, height):
        sums = simd.load(tile, bias, n0, 0, height, count if bias.size else 0)
        sums = rows.add_products(sums, a, place, m, taps, offset, K, panel, b0, width)
        simd.store(sums, z, z0 + (m - m0) * pitch + n0, pitch, m1 - m, count)


@kernel
def product(a, place, m0, m1, taps, K, I, panels, O, width, groups, bias, z, z0):
    """Rows m0..m1 of all groups: a's group g is I further on, z's O further on."""
    lanes, pitch, b0 = simd.WIDTH // a.itemsize, O * groups, 0
    for g in range(groups):
        for o in range(0, O, width):
            n, count = g * O + o, min(width, O - o)
            if width == WIDE * lanes:
                tile = zeros_wide(z)
                strip(tile, LOW, a, place, m0, m1, taps, g * I, K, panels, b0, width, bias, n, count, z, z0, pitch)
            elif width == MIDDLE * lanes:
                tile = zeros_middle(z)
                strip(tile, TALL, a, place, m0, m1, taps, g * I, K, panels, b0, width, bias, n, count, z, z0, pitch)
            else:
                tile = zeros_narrow(z)
                strip(tile, TALL, a, place, m0, m1, taps, g * I, K, panels, b0, width, bias, n, count, z, z0, pitch)
            b0 += K * width


@kernel
def forward_share(x, kept, inner, panels, bias, z, y, out, shape, height, width, tabs, band, i0, i1):
    """Bands i0..i1 of `height` rows; a band is n bands_of_an_image + which."""
    _, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups = shape
    place, taps = tabs
    each = -(-P // height)
    I, columns = C // groups, (Q - 1) * SW + (KW - 1) * DW + 1
    for item in range(i0, i1):
        n, p0 = item // each, item % each * height
        p1 = min(P, p0 + height)
        h0, h1 = p0 * SH - top, (p1 - 1) * SH + (KH - 1) * DH + 1 - top
        fetch(inner[0], inner[1], x, kept, (n, H, W), C, h0, h1, -left, columns - left, band)
        for m0 in range(0, (p1 - p0) * Q, CHUNK):
            m1 = min(m0 + CHUNK, (p1 - p0) * Q)
            z0, z1 = ((n * P + p0) * Q + m0) * O, ((n * P + p0) * Q + m1) * O
            product(band, place, m0, m1, taps, KH * KW * I, I, panels, O // groups, width, groups, bias, z, z0)
            if out[0] != activation.NONE:
                activate(out[0], out[1], z[z0:z1], y[z0:z1])


@kernel(parallel=True)
def forward(
    x, kept, in_code, in_parameter, panels, bias, z, y, code, parameter, shape, height, width, tabs, bands, threads
):
    """y = f(z), z = x * w + bias; z and y may be one array. With in_code x is a gradient, times f' of kept first."""
    items = shape[0] * -(-shape[4] // height)
    for thread in prange(threads):
        t = np.intp(thread)
        i0, i1 = items * t // threads, items * (t + 1) // threads
        out, inner = (code, parameter), (in_code, in_parameter)
        forward_share(x, kept, inner, panels, bias, z, y, out, shape, height, width, tabs, bands[t], i0, i1)
