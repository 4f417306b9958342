"""Pooling on Numba."""

from __future__ import annotations

from math import prod

import numpy as np

from xpnn.core.contract import Override, floating
from xpnn.core.op import Spec
from xpnn.ops.pool import AVG_POOL
from xpnn_kernels.numba import pool as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 15
"""Pixels and channels of the image above which they are shared among threads."""


def _shape(window, stride, padding):
    return (*window, *stride, padding[0][0], padding[1][0])


def run(rows, on_threads, image, output, arrays):
    """One kernel, over the rows of `output`, on one thread or on all."""
    threads = pool.threads()
    if threads > 1 and image.size >= SPLIT:
        on_threads(threads, *arrays)
    else:
        rows(*arrays, 0, output.shape[0] * output.shape[1])


def _saved(x, *, window, stride, padding):
    """Which element of a window was the largest, in as few bytes as can name it."""
    out = AVG_POOL.infer(x, window=window, stride=stride, padding=padding).outs[0]
    return (Spec(out.shape, np.dtype(np.uint8 if prod(window) <= 256 else np.int32)),)


def _countable(specs, attrs):
    """Elements of a window are counted in float32."""
    return floating(specs, attrs) and prod(attrs["window"]) <= 1 << 24


def _max(outs, saved, x, *, window, stride, padding):
    arrays = x, outs[0], saved[0], _shape(window, stride, padding)
    run(kernels.largest_rows, kernels.largest, x, outs[0], arrays)


def _max_backward(dins, douts, kept, *, window, stride, padding):
    arrays = douts[0], kept.saved[0], dins[0], _shape(window, stride, padding)
    run(kernels.largest_back_rows, kernels.largest_back, dins[0], dins[0], arrays)


def _avg(outs, saved, x, *, window, stride, padding):
    arrays = x, outs[0], True, _shape(window, stride, padding)
    run(kernels.average_rows, kernels.average, x, outs[0], arrays)


def _avg_backward(dins, douts, kept, *, window, stride, padding):
    arrays = douts[0], dins[0], True, _shape(window, stride, padding)
    run(kernels.average_back_rows, kernels.average_back, dins[0], dins[0], arrays)


OVERRIDES = {
    "max_pool2d": Override(_max, _max_backward, _countable, saved=_saved),
    "avg_pool2d": Override(_avg, _avg_backward),
}
