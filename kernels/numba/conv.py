"""Convolution of images (N, H, W, C) as matrix products of rows that are never copied out: implicit GEMM.

    z[m, o] = sum over k of band[place[m] + taps[k]] w[k, o]        m a pixel of z, k = (kh, kw, i)

A thread takes a band of output rows, copies the rows of x under it, with their padding, to its cache (`band`; where
nothing is to be padded or masked they stay where they lie), and from there two tables say where every factor lies:
`place` by pixel, `taps` by element of the window. Stride, dilation, padding and groups are in the tables alone. A
register tile of pixels x output channels sums over all k; w was packed into panels, one for each tile's width. Bias
starts the sums; a ReLU is applied to them on their way out.

`shape` is (N, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups). Bound by the multiply-add units: of their
rate, products of 64 to 256 channels reach 75 to 90 % with AVX2.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lines import clear, copy, mask
from xpnn_kernels.numba.rows import add_products_at
from xpnn_kernels.numba.simd_math import relu
from xpnn_kernels.numba.split import on_threads

WIDE, MIDDLE, NARROW = (4, 2, 1) if simd.REGISTERS == 32 else (2, 2, 1)
TALL, LOW = (12, 6) if simd.REGISTERS == 32 else (6, 6)
"""Tiles: LOW pixels x WIDE vectors, TALL x MIDDLE, TALL x NARROW, TALL x half of one."""
CHUNK = 48
"""Pixels whose results are finished before the next are begun; whole tiles of every kind."""
SLACK = 4 * simd.WIDTH
"""Elements beyond the end that tiles may read, whatever is there."""
DEEP = 256 if simd.REGISTERS == 16 else 1 << 30
"""Products in a row: so much of a narrow panel stays in L1 while a chunk goes over it."""

HALVES = simd.WIDTH == 64
"""Are there tiles of half a vector? For few channels, where whole vectors take twice as long (Zen 4)."""

zeros_wide, zeros_middle, zeros_narrow = simd.zeros(LOW, WIDE), simd.zeros(TALL, MIDDLE), simd.zeros(TALL, NARROW)
zeros_half = simd.zeros(TALL, 1, simd.WIDTH // 2)


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
    for i in range(place.size):
        m = min(i, place.size - TALL - 1)  # tiles read on behind the last: the last again
        place[i] = m // Q * SH * pitch + m % Q * SW * C
    I = C // groups
    K = KH * KW * I
    for k in range(taps.size):
        tap = min(k, K - 1)
        taps[k] = tap // (KW * I) * DH * pitch + tap // I % KW * DW * C + tap % I


@kernel
def fetch(masked, source, kept, image, C, r0, r1, c0, c1, band):
    """Rows r0..r1 and columns c0..c1 of an image, zeros beyond it; masked: where `kept` is not above 0, times 0."""
    n, H, W = image
    to, middle = 0, max(min(c1, W) - max(c0, 0), 0) * C
    before = min(max(-c0, 0), c1 - c0) * C
    pitch = (c1 - c0) * C
    for r in range(r0, r1):
        start, left, right = ((n * H + r) * W + max(c0, 0)) * C, to + before, to + before + middle
        if not 0 <= r < H:
            clear(band[to : to + pitch])
        else:
            clear(band[to:left])
            clear(band[right : to + pitch])
            if masked:
                mask(source[start : start + middle], kept[start : start + middle], band[left:right])
            else:
                copy(source[start : start + middle], band[left:right])
        to += pitch


@kernel
def find(masked, x, kept, shape, height, n, p0, p1, band):
    """Where in x the rows lie that rows p0..p1 of image n's z are made of, if nothing is to be added to them and tiles
    may read on behind them, as far as under a whole band; else -1, and they are copied to `band`."""
    N, H, W, C, _, Q, _, KH, KW, SH, SW, DH, DW, top, left, _ = shape
    columns, reach = (Q - 1) * SW + (KW - 1) * DW + 1, (KH - 1) * DH + 1
    h0, h1 = p0 * SH - top, (p1 - 1) * SH + reach - top
    whole = h0 >= 0 and h1 <= H and left == 0 and columns == W
    if whole and not masked and n * H + h0 + (height - 1) * SH + reach <= N * H:
        return (n * H + h0) * W * C
    fetch(masked, x, kept, (n, H, W), C, h0, h1, -left, columns - left, band)
    return -1


@kernel
def strip(tile, height, a, place, m0, m1, taps, k0, k1, offset, panel, b0, width, bias, n0, count, z, z0, pitch, last):
    """z[m, n0:n0 + count] (+)= sum over k0 <= k < k1 of a[place[m] + taps[k] + offset] panel[k] for m0 <= m < m1.

    The first sums begin with the bias. last: 1 where the sums are complete, 2 where their ReLU is wanted.
    """
    start = simd.load(tile, bias, n0, 0, height, count) if bias.size and k0 == 0 else tile
    for m in range(m0, m1, height):
        to = z0 + (m - m0) * pitch + n0
        sums = simd.load(tile, z, to, pitch, m1 - m, count) if k0 else start
        next_to = a, place[m + height] + taps[k0] + offset
        rest = taps, k0, offset, k1 - k0, panel, b0 + k0 * width, width
        sums = add_products_at(sums, a, place, m, *rest, *next_to)
        if last == 2:
            sums = relu(sums)
        simd.store(sums, z, to, pitch, m1 - m, count)


@kernel
def product(a, place, m0, m1, taps, K, I, panels, O, width, groups, bias, z, z0, positive):
    """Rows m0..m1 of all groups: a's group g is I further on, z's O further on. positive: of the sums, their ReLU."""
    lanes, pitch, b = simd.WIDTH // a.itemsize, O * groups, 0
    for g in range(groups):
        for o in range(0, O, width):
            n, count, at = g * O + o, min(width, O - o), g * I
            for k in range(0, K, DEEP):
                end = min(K, k + DEEP)
                last = (2 if positive else 1) if end == K else 0
                rest = a, place, m0, m1, taps, k, end, at, panels, b, width, bias, n, count, z, z0, pitch, last
                if width == WIDE * lanes:
                    strip(zeros_wide(z), LOW, *rest)
                elif MIDDLE < WIDE and width == MIDDLE * lanes:
                    strip(zeros_middle(z), TALL, *rest)
                elif HALVES and width < lanes:
                    strip(zeros_half(z), TALL, *rest)
                else:
                    strip(zeros_narrow(z), TALL, *rest)
            b += K * width


@on_threads
def forward(thread, threads, x, kept, masked, panels, bias, y, positive, shape, height, width, place, taps, bands):
    """y = x * w + bias, or with `positive` the ReLU of that. masked: x is a gradient, to be masked by `kept` first."""
    N, _, _, C, P, Q, O, KH, KW, _, _, _, _, _, _, groups = shape
    each, I = -(-P // height), C // groups
    K = KH * KW * I
    for item in range(N * each * thread // threads, N * each * (thread + 1) // threads):
        n, p0 = item // each, item % each * height
        p1 = min(P, p0 + height)
        at = find(masked, x, kept, shape, height, n, p0, p1, bands[thread])
        band = bands[thread] if at < 0 else x[at:]
        M = (p1 - p0) * Q
        chunk = M if groups == 1 and width >= O and K <= DEEP else CHUNK  # all at once where one panel serves all
        for m0 in range(0, M, chunk):
            m1, z0 = min(m0 + chunk, M), ((n * P + p0) * Q + m0) * O
            product(band, place, m0, m1, taps, K, I, panels, O // groups, width, groups, bias, y, z0, positive)
