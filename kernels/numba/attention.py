"""Scaled dot-product attention, one head of one sample at a time, and of that a block of queries at a time.

    forward   p = exp(scale q k^T - top), y = p v / sum of p          saves log(sum) + top of every query
    backward  p again, dp = dy v^T, ds = scale p (dp - sum of p dp), dq = ds k, dk += ds^T q, dv += p^T dy

The scores of a block of queries (p and dp, BLOCK elements at most) stay in L2: the matrix of all scores never exists,
and its part that a causal block cannot see is not computed. Two products forward and five backward with the register
tile of `gemm`: bound by multiply-adds. Heads are columns of q, k, v, so nothing is transposed. Each thread has a share
of the heads. What is saved instead of p: Dao et al., NeurIPS 2022, algorithms 1 and 4.

Measured on two cores, 8 samples, 8 heads of 64, 256 causal queries, forward and backward: 16 ms, PyTorch 32.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba import gemm, simd, vector
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.simd_math import exp_down
from xpnn_kernels.numba.split import on_threads

BLOCK = 1 << 16
MOST = 64  # queries of a block
WIDE = 4
zeros_row, stack = simd.zeros(1, WIDE), simd.scratch(MOST)


@kernel
def product(a, b, c, first):
    """c = a @ b if first, else c += a @ b; on one thread."""
    gemm.product(a, b, c, 0, len(a), 0, b.shape[1], first)


@kernel
def weigh(p, row, seen, end, scale):
    """p = exp(scale p - top) in the columns up to `seen` of a row, 0 from there to `end`: (top, sum)."""
    tile, start = zeros_row(p), row * p.shape[1]
    step, low = WIDE * simd.WIDTH // p.itemsize, p.dtype.type(-math.inf)
    tops = vector.full(tile, low)
    for s in range(0, seen, step):
        z = vector.scale(simd.load(tile, p, start + s, 0, 1, seen - s), scale)
        tops = vector.greater(vector.only(z, seen - s, low), tops)
    top, total = vector.top(tops), tile
    for s in range(0, end, step):
        z = vector.scale(simd.load(tile, p, start + s, 0, 1, end - s), scale)
        e = vector.only(exp_down(vector.add(z, -top)), seen - s, 0)
        simd.store(e, p, start + s, 0, 1, end - s)
        total = total + e
    return top, vector.total(total)


@kernel
def weigh_back(p, dp, row, seen, end, scale, log_total):
    """p = exp(scale p - log_total), dp = scale p (dp - sum of p dp) in a row up to `seen`, 0 from there to `end`."""
    tile, start = zeros_row(p), row * p.shape[1]
    step = WIDE * simd.WIDTH // p.itemsize
    total = tile
    for s in range(0, end, step):
        z = vector.scale(simd.load(tile, p, start + s, 0, 1, end - s), scale)
        e = vector.only(exp_down(vector.add(z, -log_total)), seen - s, 0)
        simd.store(e, p, start + s, 0, 1, end - s)
        total = total + vector.only(e * simd.load(tile, dp, start + s, 0, 1, end - s), seen - s, 0)
    inner = vector.total(total)
    for s in range(0, end, step):
        e = simd.load(tile, p, start + s, 0, 1, end - s)
        d = vector.add(simd.load(tile, dp, start + s, 0, 1, end - s), -inner)
        simd.store(vector.only(vector.scale(e * d, scale), seen - s, 0), dp, start + s, 0, 1, end - s)


@kernel
def sight(t, T, S, end, causal):
    """How many keys query t sees; `end` keys are not padding."""
    return max(0, min(end, t + S - T + 1)) if causal else end


@on_threads
def forward(thread, threads, q, k, v, ends, heads, causal, scale, y, logs, scores):
    """ends (N,); logs (N, heads, T); scores (threads, block, S) is scratch. The heads of all samples are shared."""
    T, S, D, V = q.shape[1], k.shape[1], q.shape[2] // heads, v.shape[2] // heads
    factor, tops, sums, p, items = q.dtype.type(scale), stack(q), stack(q), scores[thread], len(q) * heads
    for item in range(thread * items // threads, (thread + 1) * items // threads):
        n, h = item // heads, item % heads
        for t0 in range(0, T, len(p)):
            t1 = min(T, t0 + len(p))
            end = sight(t1 - 1, T, S, ends[n], causal)
            out = y[n, t0:t1, h * V : h * V + V]
            if end:
                keys, values = k[n, :end, h * D : h * D + D], v[n, :end, h * V : h * V + V]
                product(q[n, t0:t1, h * D : h * D + D], keys.T, p[: t1 - t0, :end], True)
            for t in range(t0, t1):
                seen = sight(t, T, S, ends[n], causal)
                tops[t - t0], sums[t - t0] = weigh(p, t - t0, seen, end, factor)
            if end:
                product(p[: t1 - t0, :end], values, out, True)
            for t in range(t0, t1):
                seen, share = sight(t, T, S, ends[n], causal), 1 / sums[t - t0]
                logs[n, h, t] = tops[t - t0] + math.log(sums[t - t0]) if seen else 0
                for i in range(V):
                    out[t - t0, i] = out[t - t0, i] * share if seen else 0


@on_threads
def backward(thread, threads, q, k, v, ends, dy, logs, heads, causal, scale, dq, dk, dv, scores, dscores):
    """dq, dk, dv may be empty: not wanted."""
    T, S, D, V = q.shape[1], k.shape[1], q.shape[2] // heads, v.shape[2] // heads
    factor, p, dp, items = q.dtype.type(scale), scores[thread], dscores[thread], len(q) * heads
    for item in range(thread * items // threads, (thread + 1) * items // threads):
        n, h = item // heads, item % heads
        of_q, of_v = slice(h * D, h * D + D), slice(h * V, h * V + V)
        for s in range(S):
            for i in range(D if len(dk) else 0):
                dk[n, s, h * D + i] = 0
            for i in range(V if len(dv) else 0):
                dv[n, s, h * V + i] = 0
        for t0 in range(0, T, len(p)):
            t1 = min(T, t0 + len(p))
            end = sight(t1 - 1, T, S, ends[n], causal)
            if end == 0:
                for t in range(t0, t1 if len(dq) else t0):
                    for i in range(D):
                        dq[n, t, h * D + i] = 0
                continue
            queries, keys, slopes = q[n, t0:t1, of_q], k[n, :end, of_q], dy[n, t0:t1, of_v]
            weights, dweights = p[: t1 - t0, :end], dp[: t1 - t0, :end]
            product(queries, keys.T, weights, True)
            product(slopes, v[n, :end, of_v].T, dweights, True)
            for t in range(t0, t1):
                weigh_back(p, dp, t - t0, sight(t, T, S, ends[n], causal), end, factor, logs[n, h, t])
            if len(dq):
                product(dweights, keys, dq[n, t0:t1, of_q], True)
            if len(dk):
                product(dweights.T, queries, dk[n, :end, of_q], False)
            if len(dv):
                product(weights.T, slopes, dv[n, :end, of_v], False)
