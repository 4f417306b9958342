"""Samples classified right, on Numba."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn_kernels.numba import hits as kernels


def _hits(outs, saved, scores, labels):
    kernels.hits(scores, labels, outs[0].reshape(1))


OVERRIDES = {"hits": Override(_hits)}
