"""The gradient of a convolution's input where the stride along H is 1 and there are few channels.

    T[h, q, (kw, c)] = sum over kh, o of dz[h + top - kh DH, q, o] w[kh, kw, c, o]      a correlation along H
    dx[h, q SW + kw DW - left, c] += T[h, q, (kw, c)]                                   spread along W

The channels alone would leave vectors half empty; with the window's columns beside them they fill them, and the sums
are long, KH O. A piece of T leaves out the rows of the window that meet dz for none of its pixels; where they do for
some, zeros stand for the others, and infinite weights give NaN there. `shape` and the rest as in `conv`; threads have
bands of rows of dx.
"""

from __future__ import annotations

from xpnn_kernels.numba.conv import CHUNK, TALL, fetch, product
from xpnn_kernels.numba.conv_gradient import crop, spread
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lines import clear
from xpnn_kernels.numba.split import on_threads


@kernel
def met(h0, h1, P, KH, DH, top):
    """The rows of the window, counted from its last, that meet dz for a row of dx from h0 to h1: first and end."""
    before = (KH - 1) * DH - top
    first = min(max(0, -(-(before - h1) // DH)), KH - 1)
    return first, max(min(KH, (P - 1 + before - h0) // DH + 1), first + 1)


@on_threads
def backward(thread, threads, dy, kept, masked, panels, dx, shape, height, width, along, across, scratch):
    """along: tables of dz (place, taps) for windows KH x 1; across: of dx for windows 1 x KW.

    panels: of w by `conv.pack`, its rows (kh, o) from the last kh to the first, its columns (kw, c).
    """
    N, H, W, C, P, Q, O, KH, KW, _, SW, DH, DW, top, left, groups = shape
    band, T, padded = scratch[0][thread], scratch[1][thread], scratch[2][thread]
    I, part, columns = C // groups, O // groups, (Q - 1) * SW + (KW - 1) * DW + 1
    run = KW * I if DW == 1 and groups == 1 else I
    wide, each = -(-KW * I // width) * width, -(-H // height)
    alone = groups == 1 and wide == width  # only then is a part of the window a part of the panels
    piece = min(max(Q // TALL, 1) * TALL, CHUNK) if alone else CHUNK
    for item in range(N * each * thread // threads, N * each * (thread + 1) // threads):
        n, h0 = item // each, item % each * height
        h1 = min(H, h0 + height)
        M = (h1 - h0) * Q
        fetch(masked, dy, kept, (n, P, Q), O, h0 + top - (KH - 1) * DH, h1 + top, 0, Q, band)
        clear(padded[: (h1 - h0) * columns * C])
        for m0 in range(0, M, CHUNK):
            m1 = min(m0 + CHUNK, M)
            for s0 in range(m0, m1, piece):
                s1, t0, t1 = min(s0 + piece, m1), 0, KH
                if alone:
                    t0, t1 = met(h0 + s0 // Q, h0 + (s1 - 1) // Q, P, KH, DH, top)
                K, z0 = (t1 - t0) * part, (s0 - m0) * groups * wide
                rows, some = along[1][t0 * part :], panels[t0 * part * width :]
                product(band, along[0], s0, s1, rows, K, part, some, wide, width, groups, T[:0], T, z0, False)
            spread(T, wide, m0, m1, across[0], across[1], run, KW * I, groups, I, padded, 0)
        crop(padded, (n, H, W), C, h1 - h0, columns, -h0, left, h0, h1, dx)
