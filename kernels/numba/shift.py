"""Images moved by some pixels: reads and writes each once, row by row."""

from __future__ import annotations

from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.lines import copy
from xpnn_kernels.numba.split import on_threads


@kernel
def paint(y, value):
    for i in range(y.size):
        y[i] = value


@on_threads
def shift(thread, threads, x, by, fill, reach, shape, y):
    """y[n, h, w] = x[n, h + by[n, 0] - reach, w + by[n, 1] - reach], `fill` where there is none; x, y are flat."""
    N, H, W, C = shape
    for n in range(thread * N // threads, (thread + 1) * N // threads):
        down, right = by[n, 0] - reach, by[n, 1] - reach
        w0 = min(max(-right, 0), W)
        w1 = max(min(W - right, W), w0)
        for h in range(H):
            to, start = (n * H + h) * W * C, ((n * H + h + down) * W + w0 + right) * C
            if 0 <= h + down < H:
                paint(y[to : to + w0 * C], fill)
                copy(x[start : start + (w1 - w0) * C], y[to + w0 * C : to + w1 * C])
                paint(y[to + w1 * C : to + W * C], fill)
            else:
                paint(y[to : to + W * C], fill)
