"""Dropout on Numba."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn.ops.dropout import threshold
from xpnn_kernels.numba import dropout as kernels


def _forward(outs, saved, x, state, *, rate):
    kernels.forward(
        x.reshape(-1), state, threshold(rate), 1.0 / (1.0 - rate), outs[0].reshape(-1), saved[0].reshape(-1)
    )


def _backward(dins, douts, kept, *, rate):
    kernels.backward(kept.saved[0].reshape(-1), 1.0 / (1.0 - rate), douts[0].reshape(-1), dins[0].reshape(-1))


OVERRIDES = {"dropout": Override(_forward, _backward)}
