"""Shifted images on Numba."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn_kernels.numba import shift as kernels
from xpnn_kernels.numba import threads

SPLIT = 1 << 15
"""Elements above which images are shared among threads."""


def _shift(outs, saved, x, by, fill, *, reach):
    T, y = threads.threads(x.size, SPLIT), outs[0].reshape(-1)
    kernels.shift(T, x.reshape(-1), by, fill.item(), reach, x.shape, y)


OVERRIDES = {"shift": Override(_shift)}
