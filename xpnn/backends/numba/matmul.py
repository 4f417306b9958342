"""Matrix products on Numba: our own where they fit, else BLAS."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn_kernels.numba import gemm


def product(x: np.ndarray, y: np.ndarray, out: np.ndarray) -> None:
    """out (N, O) = x (N, I) @ y (I, O)."""
    if gemm.fits(x, y):
        gemm.matmul(x, y, out)
    else:
        np.matmul(x, y, out=out)


def _forward(outs, saved, x, y):
    product(x, y, outs[0])


def _backward(dins, douts, kept):
    x, y = kept.inputs
    if dins[0] is not None:
        product(douts[0], y.T, dins[0])
    if dins[1] is not None:
        product(x.T, douts[0], dins[1])


def _matrices(specs, attrs):
    return specs[0].dtype.char in "fd" and len(specs[0].shape) == len(specs[1].shape) == 2


OVERRIDES = {"matmul": Override(_forward, _backward, _matrices)}
