"""Pooling on CUDA."""

from __future__ import annotations

from math import prod

import numpy as np

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec
from xpnn.ops.pool import AVG_POOL

SOURCE = Source("pool", dict.fromkeys(("forward", "back"), (REAL, ("unsigned char", "int"))))
SUM, MEAN, LARGEST = range(3)
BYTE = np.dtype(np.uint8)


def forward(kind, x, y, codes, window, stride, padding):
    """The launch; codes: None, or where LARGEST keeps which element it was."""
    geometry = (*x.shape[1:], *y.shape[1:3], *window, *stride, padding[0][0], padding[1][0])
    kernel = SOURCE.kernel("forward", x.dtype, BYTE if codes is None else codes.dtype)
    return made([kernel.call(blocks(y.size), (256,), (kind, x, y, codes, *geometry, y.size))])


def backward(kind, dy, codes, dx, window, stride, padding):
    geometry = (*dx.shape[1:], *dy.shape[1:3], *window, *stride, padding[0][0], padding[1][0])
    kernel = SOURCE.kernel("back", dx.dtype, BYTE if codes is None else codes.dtype)
    return made([kernel.call(blocks(dx.size), (256,), (kind, dy, codes, dx, *geometry, dx.size))])


def _saved(x, *, window, stride, padding):
    """Which element of a window was the largest, in as few bytes as can name it."""
    out = AVG_POOL.infer(x, window=window, stride=stride, padding=padding).outs[0]
    return (Spec(out.shape, BYTE if prod(window) <= 256 else np.dtype(np.int32)),)


def _max(outs, saved, x, *, window, stride, padding):
    return forward(LARGEST, x, outs[0], saved[0], window, stride, padding)


def _max_backward(dins, douts, kept, *, window, stride, padding):
    return backward(LARGEST, douts[0], kept.saved[0], dins[0], window, stride, padding)


def _avg(outs, saved, x, *, window, stride, padding):
    return forward(MEAN, x, outs[0], None, window, stride, padding)


def _avg_backward(dins, douts, kept, *, window, stride, padding):
    return backward(MEAN, douts[0], None, dins[0], window, stride, padding)


def _countable(specs, attrs):
    """Elements of a window, and the padded rows and columns of an image, are counted in 32 bits."""
    return floating(specs, attrs) and prod(attrs["window"]) < 1 << 31 and max(specs[0].shape) < 1 << 30


OVERRIDES = {
    "max_pool2d": Override(_max, _max_backward, _countable, _saved),
    "avg_pool2d": Override(_avg, _avg_backward, _countable),
}
