"""The gradient of a convolution's input where the stride along H is 1 and there are few channels.

    T[h, q, (kw, c)] = sum over kh, o of dz[h + top - kh DH, q, o] w[kh, kw, c, o]      a correlation along H
    dx[h, q SW + kw DW - left, c] += T[h, q, (kw, c)]                                   spread along W

The channels alone would leave vectors half empty; with the window's columns beside them they fill them, and the sums
are long, KH O. Rows beyond dz are zeros that meet the weights too: infinite ones give NaN there. `shape` and the rest
as in `conv`; threads have bands of rows of dx.
"""

from __future__ import annotations

from xpnn_kernels.numba.conv import CHUNK, fetch, product
from xpnn_kernels.numba.conv_gradient import crop, spread
from xpnn_kernels.numba.lines import clear
from xpnn_kernels.numba.split import on_threads


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
    for item in range(N * each * thread // threads, N * each * (thread + 1) // threads):
        n, h0 = item // each, item % each * height
        h1 = min(H, h0 + height)
        M = (h1 - h0) * Q
        fetch(masked, dy, kept, (n, P, Q), O, h0 + top - (KH - 1) * DH, h1 + top, 0, Q, band)
        clear(padded[: (h1 - h0) * columns * C])
        for m0 in range(0, M, CHUNK):
            m1 = min(m0 + CHUNK, M)
            product(band, along[0], m0, m1, along[1], KH * part, part, panels, wide, width, groups, T[:0], T, 0, False)
            spread(T, wide, m0, m1, across[0], across[1], run, KW * I, groups, I, padded, 0)
        crop(padded, (n, H, W), C, h1 - h0, columns, -h0, left, h0, h1, dx)
