"""Group normalisation on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import cache
from xpnn_kernels.numba import group_norm as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 14
"""Elements above which samples are shared among threads."""


def _samples(array):
    """(N, positions, C)."""
    positions = array[0, ..., 0].size if len(array) else 1
    return array.reshape(len(array), positions, array.shape[-1])


def _work(phase, x, gamma, beta, *, groups, eps):
    """The coefficients of a sample for each thread, and its sums."""
    threads, C = pool.threads(x.size, SPLIT), x.shape[-1]
    if phase == "forward":
        return (Spec((threads, 3, C), x.dtype),)
    each = Spec((threads, C), x.dtype)
    return Spec((threads, 6, C), x.dtype), each, each


def _forward(outs, saved, x, gamma, beta, *, groups, eps, work):
    (space,) = work
    arrays = _samples(x), gamma, beta, eps, *saved, _samples(outs[0])
    kernels.forward(len(space), *arrays, space, cache.past(outs[0], cache.TRAINING * x.nbytes))


def _backward(dins, douts, kept, *, groups, eps, work):
    (x, gamma, _), (space, dgammas, dbetas) = kept.inputs, work
    dx = _samples(x)[:0] if dins[0] is None else _samples(dins[0])
    arrays = _samples(x), _samples(douts[0]), gamma, *kept.saved, dx
    kernels.backward(len(space), *arrays, dgammas, dbetas, space, cache.past(dx, cache.TRAINING * x.nbytes))
    for sums, slot in zip((dgammas, dbetas), dins[1:], strict=True):
        if slot is not None:
            np.sum(sums, axis=0, out=slot)


OVERRIDES = {"group_norm": Override(_forward, _backward, work=_work)}
