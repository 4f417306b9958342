"""LSTM over whole sequences: one kernel forward, one backward and a product over all steps at the end.

Forward, a register tile holds the four gates of ROWS sequences and a vector of units: ROWS x (i, f, g, o). It sums up
what comes before the gates over the rows of the packed weights (of x, the bias, h); gates and cells are then computed
where they are, in registers. Written: gates, cell and state, 6 numbers a unit and step, for backward.

Backward, a step computes dz (T, N, 4H), the gradient before the gates, and from it by one product the gradients of the
state before and of x. Those of w, b and u are one product of all steps' inputs with all steps' dz.

Measured on two cores with AVX-512 against PyTorch 2.13, forward and backward, times its / ours: (T, N, I, H) = (28, 64,
28, 128) 1.5, (100, 32, 65, 256) 1.5, (128, 64, 256, 512) 2.1. See `recurrent` for what bounds it.
"""

from __future__ import annotations

from xpnn_kernels.numba import recurrent, simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.recurrent import ROWS
from xpnn_kernels.numba.simd_math import column, sigmoid, tanh
from xpnn_kernels.numba.split import on_threads

SEQUENCES = 64
zeros_gates, zeros_units = simd.zeros(ROWS, 4), simd.zeros(ROWS, 1)
new_sums = simd.scratch(SEQUENCES * 4)


@kernel
def _cell(z, units, inputs, cells, gates, at, j, N, K, H, rows):
    """The units from j on of some sequences, from the sums z before their gates."""
    left, to = H - j, at * 4 * H + j
    i, f = sigmoid(column(z, 0)), sigmoid(column(z, 1))
    g, o = tanh(column(z, 2)), sigmoid(column(z, 3))
    c = f * simd.load(units, cells, at * H + j, H, rows, left) + i * g
    simd.store(i, gates, to, 4 * H, rows, left)
    simd.store(f, gates, to + H, 4 * H, rows, left)
    simd.store(g, gates, to + 2 * H, 4 * H, rows, left)
    simd.store(o, gates, to + 3 * H, 4 * H, rows, left)
    simd.store(c, cells, (at + N) * H + j, H, rows, left)
    simd.store(o * tanh(c), inputs, (at + N) * K + K - H + j, K, rows, left)


@kernel
def _cells(tile, units, inputs, packed, cells, gates, s, shape, n0, n1):
    """Step s. While a panel of weights is used in pieces, the sums are put by."""
    N, _, I, H = shape
    K, lanes = I + 1 + H, simd.WIDTH // packed.itemsize
    depth, aside = recurrent.depth_of(K, packed), new_sums(packed)
    for j in range(0, H, lanes):
        for first in range(n0, n1, SEQUENCES):
            for k0 in range(0, K, depth):
                end, start, last = min(k0 + depth, K), (j * K + k0 * lanes) * 4, min(first + SEQUENCES, n1)
                size, strips = (end - k0) * 4 * lanes, -(-(last - first) // ROWS)
                for n in range(first, last, ROWS):
                    if depth < K:
                        recurrent.ask_for_part(packed, start + size, size, (n - first) // ROWS, strips)
                    rows, at, to = n1 - n, s * N + n, (n - first) * 4 * lanes
                    z = tile
                    if k0:
                        z = simd.load(tile, aside, to, 4 * lanes, ROWS, 4 * lanes)
                    for k in range(k0, end):
                        z = simd.add_outer(z, inputs, at * K + k, K, rows, packed, (j * K + k * lanes) * 4)
                    if end < K:
                        simd.store(z, aside, to, 4 * lanes, ROWS, 4 * lanes)
                    else:
                        _cell(z, units, inputs, cells, gates, at, j, N, K, H, rows)


@on_threads
def forward(thread, threads, x, h0, c0, lengths, reverse, packed, y, h, c, inputs, gates, cells, shape, share):
    """Sequences n0..n1. inputs (T + 1, N, I + 1 + H), gates (T, N, 4H), cells (T + 1, N, H): in the order of the steps,
    for backward. packed: the weights by `recurrent.pack`."""
    n0, n1 = thread * share, min(thread * share + share, shape[0])
    _, T, I, H = shape
    recurrent.begin(h0, inputs, shape, n0, n1)
    recurrent.copy(c0, n0 * H, cells, n0 * H, (n1 - n0) * H, True)
    for s in range(T):
        recurrent.enter(x, lengths, reverse, s, inputs, shape, n0, n1)
        _cells(zeros_gates(h), zeros_units(h), inputs, packed, cells, gates, s, shape, n0, n1)
        recurrent.leave(inputs, lengths, reverse, s, y, shape, n0, n1)
    recurrent.finish(inputs, I + 1 + H, lengths, h, shape, n0, n1)
    recurrent.finish(cells, H, lengths, c, shape, n0, n1)


@kernel
def _gates_back(tile, gates, cells, dh, dc, dz, s, shape, n0, n1):
    """dz of step s, and dc of the step before, from dh and dc of this one."""
    N, _, _, H = shape
    for n in range(n0, n1, ROWS):
        rows = n1 - n
        for j in range(0, H, simd.WIDTH // dh.itemsize):
            left, z, cell, here = H - j, (s * N + n) * 4 * H + j, (s * N + n) * H + j, n * H + j
            i = simd.load(tile, gates, z, 4 * H, rows, left)
            f = simd.load(tile, gates, z + H, 4 * H, rows, left)
            g = simd.load(tile, gates, z + 2 * H, 4 * H, rows, left)
            o = simd.load(tile, gates, z + 3 * H, 4 * H, rows, left)
            before = simd.load(tile, cells, cell, H, rows, left)
            t = tanh(simd.load(tile, cells, cell + N * H, H, rows, left))
            d = simd.load(tile, dh, here, H, rows, left)
            by_o = d * o
            e = simd.load(tile, dc, here, H, rows, left) + by_o - by_o * t * t
            simd.store(e * g * (i - i * i), dz, z, 4 * H, rows, left)
            simd.store(e * before * (f - f * f), dz, z + H, 4 * H, rows, left)
            simd.store(e * i - e * i * g * g, dz, z + 2 * H, 4 * H, rows, left)
            simd.store(d * t * (o - o * o), dz, z + 3 * H, 4 * H, rows, left)
            simd.store(e * f, dc, here, H, rows, left)


@on_threads
def backward(
    thread,
    threads,
    lengths,
    reverse,
    gates,
    cells,
    dy,
    dh_last,
    dc_last,
    dx,
    dh0,
    dc0,
    u_t,
    w_t,
    dz,
    dh,
    dc,
    dxs,
    shape,
    share,
):
    """Sequences n0..n1. u_t, w_t: the weights by `recurrent.pack_back`; dh, dc (N, H), dxs (N, I): room.

    dx is (0,) where it is not wanted; dh0 may be dh and dc0 dc.
    """
    n0, n1 = thread * share, min(thread * share + share, shape[0])
    N, T, I, H = shape
    for s in range(T - 1, -1, -1):
        recurrent.end_back(dh_last, lengths, s, dh, shape, n0, n1)
        recurrent.end_back(dc_last, lengths, s, dc, shape, n0, n1)
        recurrent.enter_back(dy, lengths, reverse, s, dh, shape, n0, n1)
        _gates_back(zeros_units(dh), gates, cells, dh, dc, dz, s, shape, n0, n1)
        recurrent.silence(lengths, s, dz, 4 * H, shape, n0, n1)
        at = (s * N + n0) * 4 * H
        recurrent.product_back(dz, at, 4 * H, 4 * H, u_t, dh, H, n0, n1, False)
        if dx.size:
            recurrent.product_back(dz, at, 4 * H, 4 * H, w_t, dxs, I, n0, n1, False)
            recurrent.leave_back(dxs, lengths, reverse, s, dx, shape, n0, n1)
    recurrent.start_back(dh, dh_last, lengths, dh0, shape, n0, n1)
    recurrent.start_back(dc, dc_last, lengths, dc0, shape, n0, n1)
