"""GRU over whole sequences: one kernel forward, one backward and two products over all steps at the end.

As the LSTM (see `lstm`), but the candidate meets x and h apart: a register tile of ROWS x (r, z, n) first sums over x
and the bias; its third column is put by and begins anew, with bn, to sum over h. Written for backward: r, z, n, that
sum m = h u_n + bn, and the state: 5 numbers a unit and step.

Backward, a step computes dz (T, N, 4H) = (r dn, dr, dz, dn): the first three meet h, the last three x and the bias.

Measured on two cores with AVX-512 against PyTorch 2.13, forward and backward, times its / ours: (T, N, I, H) = (28, 64,
28, 128) 3.5, (100, 32, 65, 256) 3.0, (128, 64, 256, 512) 2.2.
"""

from __future__ import annotations

from xpnn_kernels.numba import recurrent, simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.recurrent import ROWS
from xpnn_kernels.numba.simd_math import column, sigmoid, tanh, with_column
from xpnn_kernels.numba.split import on_threads

zeros_gates, zeros_units = simd.zeros(ROWS, 3), simd.zeros(ROWS, 1)


@kernel
def _cells(tile, units, inputs, packed, bn, gates, s, shape, n0, n1):
    """Step s."""
    N, _, I, H = shape
    K, lanes = I + 1 + H, simd.WIDTH // packed.itemsize
    for j in range(0, H, lanes):
        left = H - j
        for n in range(n0, n1, ROWS):
            rows, at = n1 - n, s * N + n
            a = tile
            for k in range(I + 1):
                a = simd.add_outer(a, inputs, at * K + k, K, rows, packed, (j * K + k * lanes) * 3)
            by_x = column(a, 2)
            a = with_column(a, 2, simd.load(units, bn, j, 0, rows, left))
            for k in range(I + 1, K):
                a = simd.add_outer(a, inputs, at * K + k, K, rows, packed, (j * K + k * lanes) * 3)
            r, z, m = sigmoid(column(a, 0)), sigmoid(column(a, 1)), column(a, 2)
            n_ = tanh(by_x + r * m)
            to, state = at * 4 * H + j, at * K + I + 1 + j
            h = simd.load(units, inputs, state, K, rows, left)
            simd.store(r, gates, to, 4 * H, rows, left)
            simd.store(z, gates, to + H, 4 * H, rows, left)
            simd.store(n_, gates, to + 2 * H, 4 * H, rows, left)
            simd.store(m, gates, to + 3 * H, 4 * H, rows, left)
            simd.store(n_ - z * n_ + z * h, inputs, state + N * K, K, rows, left)


@on_threads
def forward(thread, threads, x, h0, bn, lengths, reverse, packed, y, h, inputs, gates, shape, share):
    """Sequences n0..n1. inputs (T + 1, N, I + 1 + H), gates (T, N, 4H): in the order of the steps, for backward.
    packed: the weights by `recurrent.pack`."""
    n0, n1 = thread * share, min(thread * share + share, shape[0])
    _, T, I, H = shape
    recurrent.begin(h0, inputs, shape, n0, n1)
    for s in range(T):
        recurrent.enter(x, lengths, reverse, s, inputs, shape, n0, n1)
        _cells(zeros_gates(h), zeros_units(h), inputs, packed, bn, gates, s, shape, n0, n1)
        recurrent.leave(inputs, lengths, reverse, s, y, shape, n0, n1)
    recurrent.finish(inputs, I + 1 + H, lengths, h, shape, n0, n1)


@kernel
def _gates_back(tile, inputs, gates, dh, dz, s, shape, n0, n1):
    """dz of step s, and of dh of the step before what passes by the gates."""
    N, _, I, H = shape
    K = I + 1 + H
    for n in range(n0, n1, ROWS):
        rows, at = n1 - n, s * N + n
        for j in range(0, H, simd.WIDTH // dh.itemsize):
            left, to = H - j, at * 4 * H + j
            r = simd.load(tile, gates, to, 4 * H, rows, left)
            z = simd.load(tile, gates, to + H, 4 * H, rows, left)
            n_ = simd.load(tile, gates, to + 2 * H, 4 * H, rows, left)
            m = simd.load(tile, gates, to + 3 * H, 4 * H, rows, left)
            h = simd.load(tile, inputs, at * K + I + 1 + j, K, rows, left)
            d = simd.load(tile, dh, n * H + j, H, rows, left)
            dn = d - d * z
            dn = dn - dn * n_ * n_
            simd.store(dn * r, dz, to, 4 * H, rows, left)
            simd.store(dn * m * (r - r * r), dz, to + H, 4 * H, rows, left)
            simd.store(d * (h - n_) * (z - z * z), dz, to + 2 * H, 4 * H, rows, left)
            simd.store(dn, dz, to + 3 * H, 4 * H, rows, left)
            simd.store(d * z, dh, n * H + j, H, rows, left)


@on_threads
def backward(
    thread, threads, lengths, reverse, inputs, gates, dy, dh_last, dx, dh0, u_t, w_t, dz, dh, dxs, shape, share
):
    """Sequences n0..n1. u_t (n, r, z), w_t (r, z, n): the weights by `recurrent.pack_back`; dh (N, H), dxs (N, I):
    room. dx is (0,) where it is not wanted; dh0 may be dh.
    """
    n0, n1 = thread * share, min(thread * share + share, shape[0])
    N, T, I, H = shape
    for s in range(T - 1, -1, -1):
        recurrent.end_back(dh_last, lengths, s, dh, shape, n0, n1)
        recurrent.enter_back(dy, lengths, reverse, s, dh, shape, n0, n1)
        _gates_back(zeros_units(dh), inputs, gates, dh, dz, s, shape, n0, n1)
        recurrent.silence(lengths, s, dz, 4 * H, shape, n0, n1)
        at = (s * N + n0) * 4 * H
        recurrent.product_back(dz, at, 4 * H, 3 * H, u_t, dh, H, n0, n1, True)
        if dx.size:
            recurrent.product_back(dz, at + H, 4 * H, 3 * H, w_t, dxs, I, n0, n1, False)
            recurrent.leave_back(dxs, lengths, reverse, s, dx, shape, n0, n1)
    recurrent.start_back(dh, dh_last, lengths, dh0, shape, n0, n1)
