"""Layer normalisation on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import cache
from xpnn_kernels.numba import layer_norm as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 14
"""Elements above which rows are shared among threads."""


def _threads(x):
    return pool.threads(x.size, SPLIT)


def _rows(array):
    return array.reshape(-1, array.shape[-1])


def _forward(outs, saved, x, gamma=None, beta=None, *, eps, work):
    none = x.reshape(-1)[:0]
    vectors = none if gamma is None else gamma, none if beta is None else beta
    arrays = _rows(x), *vectors, eps, saved[0].reshape(-1), saved[1].reshape(-1), _rows(outs[0])
    kernels.forward(_threads(x), *arrays, cache.past(arrays[-1], cache.TRAINING * x.nbytes))


def _work(phase, x, *vectors, eps):
    """dgamma and dbeta of each thread."""
    each = Spec((_threads(x), x.shape[-1]), x.dtype)
    return (each, each) if phase == "backward" else ()


def _backward(dins, douts, kept, *, eps, work):
    x, gamma = (*kept.inputs, None)[:2]
    mean, rstd = (a.reshape(-1) for a in kept.saved)
    dgammas, dbetas = work
    arrays = (
        _rows(x),
        _rows(douts[0]),
        x.reshape(-1)[:0] if gamma is None else gamma,
        mean,
        rstd,
        _rows(x)[:0] if dins[0] is None else _rows(dins[0]),
    )
    kernels.backward(len(dgammas), *arrays, dgammas, dbetas, cache.past(arrays[-1], cache.TRAINING * x.nbytes))
    for sums, slot in zip((dgammas, dbetas), dins[1:], strict=False):
        if slot is not None:
            np.sum(sums, axis=0, out=slot)


OVERRIDES = {"layer_norm": Override(_forward, _backward, work=_work)}
