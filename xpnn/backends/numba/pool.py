"""Pooling on Numba."""

from __future__ import annotations

from math import prod

import numpy as np

from xpnn.core.contract import Override, floating
from xpnn.core.op import Spec
from xpnn.ops.pool import AVG_POOL
from xpnn_kernels.numba import cache, threads
from xpnn_kernels.numba import pool as kernels

SPLIT = 1 << 15
"""Pixels and channels of the image above which they are shared among threads."""

NO_CODES = np.empty((0, 0, 0, 0), np.uint8)


def forward(kind, x, y, codes, attrs):
    T = threads.threads(x.size, SPLIT)
    kernels.forward(T, kind, x, y, codes, _shape(**attrs), _past(y, x))


def backward(kind, dy, dx, codes, attrs):
    T = threads.threads(dx.size, SPLIT)
    kernels.backward(T, kind, dy, codes, dx, _shape(**attrs), _past(dx, dy))


def _shape(window, stride, padding):
    return (*window, *stride, padding[0][0], padding[1][0])


def _past(out, given):
    """Between two uses of an image, forward and backward touch it and what was pooled of it, and the gradients."""
    return cache.past(out, 2 * (out.nbytes + given.nbytes))


def _saved(x, *, window, stride, padding):
    """Which element of a window was the largest, in as few bytes as can name it."""
    out = AVG_POOL.infer(x, window=window, stride=stride, padding=padding).outs[0]
    return (Spec(out.shape, np.dtype(np.uint8 if prod(window) <= 256 else np.int32)),)


def _countable(specs, attrs):
    """Elements of a window are counted in float32."""
    return floating(specs, attrs) and prod(attrs["window"]) <= 1 << 24


def _max(outs, saved, x, **attrs):
    forward(kernels.LARGEST, x, outs[0], saved[0], attrs)


def _max_backward(dins, douts, kept, **attrs):
    backward(kernels.LARGEST, douts[0], dins[0], kept.saved[0], attrs)


def _avg(outs, saved, x, **attrs):
    forward(kernels.MEAN, x, outs[0], NO_CODES, attrs)


def _avg_backward(dins, douts, kept, **attrs):
    backward(kernels.MEAN, douts[0], dins[0], NO_CODES, attrs)


OVERRIDES = {
    "max_pool2d": Override(_max, _max_backward, _countable, saved=_saved),
    "avg_pool2d": Override(_avg, _avg_backward),
}
