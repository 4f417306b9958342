"""Group normalisation of x (N, P, C), P positions: what batch normalisation does, for one sample at a time.

A sample's channels have their moments (see `columns`), which are put together group by group. Where a sample fits in
L2, forward reads x and writes y (8 bytes an element in float32), backward reads x and dy and writes dx (12). Each
thread has a share of the samples, and sums of its own for gamma and beta, which are added up in their order.

Measured on two cores, 64x26x26x64 in 8 groups, forward and backward: 1.37 ms, PyTorch 2.52.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba import columns
from xpnn_kernels.numba.split import on_threads


@on_threads
def forward(thread, threads, x, gamma, beta, eps, mean, rstd, y, spaces, past):
    """mean, rstd (N, G); spaces (threads, 3, C)."""
    (N, P, C), space = x.shape, spaces[thread]
    G = mean.shape[1]
    D = C // G
    means, squares, a = space[0], space[1], space[2]
    for n in range(thread * N // threads, (thread + 1) * N // threads):
        columns.moments(x[n], 0, 0, P, means, squares)
        for g in range(G):
            first = means[g * D]
            apart = x.dtype.type(0)
            for c in range(g * D, g * D + D):
                apart += means[c] - first
            mu, spread = first + apart / D, x.dtype.type(0)
            for c in range(g * D, g * D + D):
                spread += squares[c] + P * (means[c] - mu) * (means[c] - mu)
            mean[n, g], rstd[n, g] = mu, 1 / math.sqrt(spread / (P * D) + eps)
            for c in range(g * D, g * D + D):
                means[c], a[c] = mu, gamma[c] * rstd[n, g]
        columns.line(x[n], means, a, beta, 0, P, y[n], past)


@on_threads
def backward(thread, threads, x, dy, gamma, mean, rstd, dx, dgammas, dbetas, spaces, past):
    """dgammas, dbetas (threads, C) are of a thread's samples alone; spaces (threads, 6, C); dx empty: not wanted."""
    (N, P, C), space, dgamma, dbeta = x.shape, spaces[thread], dgammas[thread], dbetas[thread]
    G = mean.shape[1]
    D = C // G
    means, plain, slanted, a, b, slope = space[0], space[1], space[2], space[3], space[4], space[5]
    for c in range(C):
        dgamma[c] = dbeta[c] = 0
    for n in range(thread * N // threads, (thread + 1) * N // threads):
        for c in range(C):
            means[c] = mean[n, c // D]
        columns.sums(x[n], dy[n], means, 0, P, plain, slanted)
        for g in range(G):
            factor = rstd[n, g]
            total, inner = x.dtype.type(0), x.dtype.type(0)
            for c in range(g * D, g * D + D):
                slanted[c] *= factor
                dbeta[c] += plain[c]
                dgamma[c] += slanted[c]
                total += gamma[c] * plain[c]
                inner += gamma[c] * slanted[c]
            for c in range(g * D, g * D + D):
                a[c] = gamma[c] * factor
                b[c] = -factor * total / (P * D)
                slope[c] = -factor * factor * inner / (P * D)
        if len(dx):
            columns.line_back(x[n], dy[n], means, a, b, slope, 0, P, dx[n], past)
