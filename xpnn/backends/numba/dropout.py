"""Dropout on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn.ops.dropout import threshold
from xpnn_kernels.numba import dropout as kernels
from xpnn_kernels.numba import philox
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 14
"""Elements above which they are shared among threads."""


def _work(phase, x, state, *, rate):
    T, words = pool.threads(x.size, SPLIT), np.dtype(np.uint32)
    return (Spec((T, 4, kernels.BLOCKS), words), Spec((T, kernels.BLOCKS, 4), words)) if phase == "forward" else ()


def _forward(outs, saved, x, state, *, rate, work):
    y, kept = outs[0].reshape(-1), saved[0].reshape(-1).view(np.uint8)
    kernels.forward(len(work[0]), x.reshape(-1), state, threshold(rate), 1.0 / (1.0 - rate), y, kept, *work)
    philox.next_draw(state, outs[1])


def _backward(dins, douts, kept, *, rate, work):
    kernels.backward(
        kept.saved[0].reshape(-1).view(np.uint8), 1.0 / (1.0 - rate), douts[0].reshape(-1), dins[0].reshape(-1)
    )


OVERRIDES = {"dropout": Override(_forward, _backward, work=_work)}
