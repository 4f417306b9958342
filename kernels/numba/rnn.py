"""Simple recurrent network over whole sequences: one kernel forward, one backward and a product over all steps.

As the LSTM (see `lstm`), with one gate: a register tile is SEQUENCES x one vector of units. Nothing is saved but the
states, from which the derivative is had. Bound by the multiply-add units.
"""

from __future__ import annotations

from xpnn_kernels.numba import recurrent, simd
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.recurrent import ROWS
from xpnn_kernels.numba.simd_math import relu, relu_slope, tanh
from xpnn_kernels.numba.split import on_threads

SEQUENCES = 2 * ROWS
zeros_units, zeros_back = simd.zeros(SEQUENCES, 1), simd.zeros(ROWS, 1)


@kernel
def _cells(tile, inputs, packed, rectify, s, shape, n0, n1):
    """Step s."""
    N, _, I, H = shape
    K, lanes = I + 1 + H, simd.WIDTH // packed.itemsize
    for j in range(0, H, lanes):
        for n in range(n0, n1, SEQUENCES):
            rows, at = n1 - n, s * N + n
            z = tile
            for k in range(K):
                z = simd.add_outer(z, inputs, at * K + k, K, rows, packed, j * K + k * lanes)
            if rectify:
                z = relu(z)
            else:
                z = tanh(z)
            simd.store(z, inputs, (at + N) * K + I + 1 + j, K, rows, H - j)


@on_threads
def forward(thread, threads, x, h0, lengths, reverse, packed, rectify, y, h, inputs, shape, share):
    """Sequences n0..n1. inputs (T + 1, N, I + 1 + H): in the order of the steps, for backward. packed: the weights by
    `recurrent.pack`. rectify: relu rather than tanh."""
    n0, n1 = thread * share, min(thread * share + share, shape[0])
    _, T, I, H = shape
    recurrent.begin(h0, inputs, shape, n0, n1)
    for s in range(T):
        recurrent.enter(x, lengths, reverse, s, inputs, shape, n0, n1)
        _cells(zeros_units(h), inputs, packed, rectify, s, shape, n0, n1)
        recurrent.leave(inputs, lengths, reverse, s, y, shape, n0, n1)
    recurrent.finish(inputs, I + 1 + H, lengths, h, shape, n0, n1)


@kernel
def _slope_back(tile, inputs, rectify, dh, dz, s, shape, n0, n1):
    """dz of step s."""
    N, _, I, H = shape
    K = I + 1 + H
    for n in range(n0, n1, ROWS):
        rows, at = n1 - n, s * N + n
        for j in range(0, H, simd.WIDTH // dh.itemsize):
            h = simd.load(tile, inputs, (at + N) * K + I + 1 + j, K, rows, H - j)
            d = simd.load(tile, dh, n * H + j, H, rows, H - j)
            if rectify:
                d = d * relu_slope(h)
            else:
                d = d - d * h * h
            simd.store(d, dz, at * H + j, H, rows, H - j)


@on_threads
def backward(
    thread, threads, lengths, reverse, inputs, rectify, dy, dh_last, dx, dh0, u_t, w_t, dz, dh, dxs, shape, share
):
    """Sequences n0..n1. u_t, w_t: the weights by `recurrent.pack_back`; dh (N, H), dxs (N, I): room.

    dx is (0,) where it is not wanted; dh0 may be dh.
    """
    n0, n1 = thread * share, min(thread * share + share, shape[0])
    N, T, I, H = shape
    for s in range(T - 1, -1, -1):
        recurrent.end_back(dh_last, lengths, s, dh, shape, n0, n1)
        recurrent.enter_back(dy, lengths, reverse, s, dh, shape, n0, n1)
        _slope_back(zeros_back(dh), inputs, rectify, dh, dz, s, shape, n0, n1)
        recurrent.silence(lengths, s, dz, H, shape, n0, n1)
        at = (s * N + n0) * H
        recurrent.product_back(dz, at, H, H, u_t, dh, H, n0, n1, False)
        if dx.size:
            recurrent.product_back(dz, at, H, H, w_t, dxs, I, n0, n1, False)
            recurrent.leave_back(dxs, lengths, reverse, s, dx, shape, n0, n1)
    recurrent.start_back(dh, dh_last, lengths, dh0, shape, n0, n1)
