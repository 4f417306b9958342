"""The gradients of a convolution, image by image: what was dz in one place is in the cache for all three.

    dz = dy where y > 0, or dy               a band of rows at a time
    db[o]    += sum over m of dz[m, o]
    dw[k, o] += sum over m of band[place[m] + taps[k]] dz[m, o]                 as `conv`, the two tables exchanged
    T[m, k]   = sum over o of dz[m, o] w[k, o];   dx[place[m] + taps[k]] += T[m, k]

T is a dense product for every stride and dilation, and its columns fill vectors even where x has one channel; adding
it up costs little beside. Every thread has images, dw and db of its own; these are then added up in a fixed order.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd, vector
from xpnn_kernels.numba.conv import (
    CHUNK,
    HALVES,
    LOW,
    MIDDLE,
    TALL,
    WIDE,
    fetch,
    find,
    product,
    zeros_half,
    zeros_middle,
    zeros_narrow,
    zeros_wide,
)
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lines import clear, copy
from xpnn_kernels.numba.rows import add_products_at
from xpnn_kernels.numba.split import on_threads

SHORT = 9
"""Rows of dw in a tile, where that adds fewer zeros than TALL: windows of 3x3."""
zeros_line, zeros_one = simd.zeros(1, WIDE), simd.zeros(1, 1)
short_middle, short_narrow, short_half = (
    simd.zeros(SHORT, MIDDLE),
    simd.zeros(SHORT, 1),
    simd.zeros(SHORT, 1, simd.WIDTH // 2),
)


@kernel
def sum_strip(tile, height, a, place, offset, M, taps, K, dz, n0, count, pitch, dw, d0, x, soon, size):
    """dw[k, n0:n0 + count] += sum over m < M of a[place[m] + taps[k] + offset] dz[m, n0:n0 + count].

    Meanwhile the `size` elements of x are asked for that the next band begins with, from `soon` on.
    """
    for k in range(0, K, height):
        sums = simd.load(tile, dw, d0 + k * pitch + n0, pitch, K - k, count)
        sums = add_products_at(sums, a, taps, k, place, 0, offset, M, dz, n0, pitch, x, soon + k * M % size)
        simd.store(sums, dw, d0 + k * pitch + n0, pitch, K - k, count)


@kernel
def add_kernel_gradient(band, place, M, taps, K, I, dz, O, width, groups, dw, d0, x, soon, size):
    lanes, pitch = simd.WIDTH // dz.itemsize, O * groups
    short = -(-K // SHORT) * SHORT < -(-K // TALL) * TALL
    for g in range(groups):
        for o in range(0, O, width):
            n, count = g * O + o, min(width, O - o)
            rest = band, place, g * I, M, taps, K, dz, n, count, pitch, dw, d0, x, soon, size
            if width == WIDE * lanes:
                sum_strip(zeros_wide(dw), LOW, *rest)
            elif MIDDLE < WIDE and width == MIDDLE * lanes:
                if short:
                    sum_strip(short_middle(dw), SHORT, *rest)
                else:
                    sum_strip(zeros_middle(dw), TALL, *rest)
            elif HALVES and width < lanes:
                if short:
                    sum_strip(short_half(dw), SHORT, *rest)
                else:
                    sum_strip(zeros_half(dw), TALL, *rest)
            elif short:
                sum_strip(short_narrow(dw), SHORT, *rest)
            else:
                sum_strip(zeros_narrow(dw), TALL, *rest)


@kernel
def spread(T, wide, m0, m1, place, taps, run, K, groups, I, dx, start):
    """dx[start + place[m] + taps[k] + g I] += T[m - m0, g, k], `run` elements k together, side by side in dx.

    A row of T is `wide` long: what is behind the K elements is not looked at. Pixels follow each other so far apart
    that none waits for what the one before it stores.
    """
    tile, lanes = zeros_one(dx), simd.WIDTH // dx.itemsize
    apart = -(-run // lanes) * lanes // max(1, place[1] - place[0]) + 1
    for g in range(groups):
        for k in range(0, K, run):
            for first in range(m0, min(m0 + apart, m1)):
                for m in range(first, m1, apart):
                    at, to = ((m - m0) * groups + g) * wide + k, start + place[m] + taps[k] + g * I
                    for i in range(0, run, lanes):  # whole vectors: what is beyond the run gets zeros added
                        line = vector.only(simd.load(tile, T, at + i, 0, 1, lanes), run - i, 0)
                        simd.store(vector.add(simd.load(tile, dx, to + i, 0, 1, lanes), line), dx, to + i, 0, 1, lanes)


@kernel
def sum_columns(tile, width, dz, M, O, o, db, at):
    """db[at + o:] += the sum of M rows of dz[:, o:], as far as the tile and a row go."""
    sums, count = simd.load(tile, db, at + o, 0, 1, O - o), min(width, O - o)
    inside = max(0, M - width // O - 1)  # of those rows, what is beyond their end may be read: others follow
    for m in range(inside):
        sums = vector.add(sums, simd.load(tile, dz, m * O + o, 0, 1, width))
    for m in range(inside, M):
        sums = vector.add(sums, simd.load(tile, dz, m * O + o, 0, 1, count))
    simd.store(sums, db, at + o, 0, 1, count)


@kernel
def add_columns(dz, M, O, db, at):
    """db[at:at + O] += the sum of M rows of dz."""
    lanes, o = simd.WIDTH // db.itemsize, 0
    while o < O:
        if O - o > lanes:
            sum_columns(zeros_line(db), WIDE * lanes, dz, M, O, o, db, at)
            o += WIDE * lanes
        else:
            sum_columns(zeros_one(db), lanes, dz, M, O, o, db, at)
            o += lanes


@kernel
def crop(padded, image, C, rows, columns, top, left, h0, h1, dx):
    """Rows h0..h1 of an image of dx out of its padded form; zeros where no window reaches."""
    n, H, W = image
    for h in range(h0, h1):
        to, r = (n * H + h) * W * C, h + top
        count = max(min(W, columns - left), 0) * C if r < rows else 0
        start = (r * columns + left) * C
        copy(padded[start : start + count], dx[to : to + count])
        clear(dx[to + count : to + W * C])


@kernel
def images(x, dy, kept, masked, panels, dx, dw, db, d0, shape, height, widths, tabs, scratch, i0, i1):
    """Images i0..i1. dx, dw, db may be empty (not wanted); dw and db begin at d0 K O and d0 O."""
    _, H, W, C, P, Q, O, KH, KW, SH, SW, DH, DW, top, left, groups = shape
    place, taps, pixels, channels = tabs
    band, copied, T, padded = scratch
    I = C // groups
    K, columns, there = KH * KW * I, (Q - 1) * SW + (KW - 1) * DW + 1, (P - 1) * SH + (KH - 1) * DH + 1
    run, part = KW * I if DW == 1 and groups == 1 else I, O // groups
    wide = -(-K // widths[1]) * widths[1]  # so that tiles of T are whole
    for n in range(i0, i1):
        if dx.size:
            clear(padded[: there * columns * C])
        for p0 in range(0, P, height):
            p1 = min(P, p0 + height)
            M = (p1 - p0) * Q
            dz = dy[(n * P + p0) * Q * O : (n * P + p1) * Q * O]
            if masked or part % widths[0]:  # or tiles would read on behind the end of dy
                dz = copied
                fetch(masked, dy, kept, (n, P, Q), O, p0, p1, 0, Q, dz)
            if db.size:
                add_columns(dz, M, O, db, d0 * O)
            if dw.size:
                at = find(False, x, x, shape, height, n, p0, p1, band)
                under = band if at < 0 else x[at:]
                ahead = x, (n * H + p1 * SH - top) * W * C, (p1 - p0) * SH * W * C
                add_kernel_gradient(under, place, M, taps, K, I, dz, part, widths[0], groups, dw, d0 * K * O, *ahead)
            for m0 in range(0, M if dx.size else 0, CHUNK):
                m1 = min(m0 + CHUNK, M)
                product(dz, pixels, m0, m1, channels, part, part, panels, wide, widths[1], groups, db[:0], T, 0, False)
                spread(T, wide, m0, m1, place, taps, run, K, groups, I, padded, p0 * SH * columns * C)
        if dx.size:
            crop(padded, (n, H, W), C, there, columns, top, left, 0, H, dx)


@on_threads
def backward(thread, threads, x, dy, kept, masked, panels, dx, dws, dbs, shape, height, widths, tabs, scratch):
    """dx, and for each thread its part of dw and db; those that are not wanted are empty."""
    N, O, groups = shape[0], shape[6], shape[15]
    bands, dzs, Ts, paddeds = scratch
    K = shape[7] * shape[8] * (shape[3] // groups)
    if dws.size:
        clear(dws[thread * K * O : (thread + 1) * K * O])
    if dbs.size:
        clear(dbs[thread * O : (thread + 1) * O])
    mine = bands[thread], dzs[thread], Ts[thread], paddeds[thread]
    i0, i1 = N * thread // threads, N * (thread + 1) // threads
    images(x, dy, kept, masked, panels, dx, dws, dbs, thread, shape, height, widths, tabs, mine, i0, i1)


@kernel
def multiples(step, count, table):
    """Of 0 to count - 1; behind them the last again, where tiles read on."""
    for i in range(table.size):
        table[i] = min(i, count - 1) * step


@kernel
def add_up(parts, total):
    """total = the sum of the threads' parts, the first first."""
    n = total.size
    for i in range(n):
        total[i] = parts[i]
    for start in range(n, parts.size, n):
        for i in range(n):
            total[i] += parts[start + i]
