"""Batch normalisation on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import batch_norm as kernels
from xpnn_kernels.numba import cache
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 15
"""Elements above which rows are shared among threads."""


def _threads(x):
    """Every thread has a row at least."""
    return min(pool.threads(x.size, SPLIT), max(1, x.size // max(x.shape[-1], 1)))


def _rows(array):
    return array.reshape(-1, array.shape[-1])


def _work(phase, x, gamma, beta, *, eps):
    """Two sums of each thread, and the coefficients of a line."""
    C = x.shape[-1]
    one, each = Spec((C,), x.dtype), Spec((_threads(x), C), x.dtype)
    return (each, each, one) if phase == "forward" else (each, each, one, one, one, one, one)


def _forward(outs, saved, x, gamma, beta, *, eps, work):
    (y, mean, var), (kept_mean, rstd), (means, squares, a) = outs, saved, work
    x, y = _rows(x), _rows(y)
    kernels.moments(len(means), x, means, squares)
    kernels.gather(len(x), means, squares, eps, gamma, mean, var, rstd, a)
    np.copyto(kept_mean, mean)
    kernels.line(len(means), x, mean, a, beta, y, cache.past(y, cache.TRAINING * y.nbytes))


def _backward(dins, douts, kept, *, eps, work):
    (x, gamma, _), (mean, rstd), (dy, dmean, dvar) = kept.inputs, kept.saved, douts
    plain, slanted, a, b, slope, *grads = work
    x, dy, (dx, dgamma, dbeta) = _rows(x), _rows(dy), dins
    kernels.sums(len(plain), x, dy, mean, plain, slanted)
    dgamma, dbeta = (g if g is not None else own for g, own in zip((dgamma, dbeta), grads, strict=True))
    kernels.scatter(len(x), plain, slanted, rstd, gamma, dmean, dvar, a, b, slope, dgamma, dbeta)
    if dx is not None:
        dx = _rows(dx)
        kernels.line_back(len(plain), x, dy, mean, a, b, slope, dx, cache.past(dx, cache.TRAINING * dx.nbytes))


def _inference_work(phase, x, gamma, beta, mean, var, *, eps):
    each = Spec((_threads(x), x.shape[-1]), x.dtype)
    return (gamma,) if phase == "forward" else (gamma, gamma, gamma, each, each)


def _inference(outs, saved, x, gamma, beta, mean, var, *, eps, work):
    (a,) = work
    np.add(var, eps, out=a)
    np.sqrt(a, out=a)
    np.divide(gamma, a, out=a)
    y = _rows(outs[0])
    kernels.line(_threads(x), _rows(x), mean, a, beta, y, cache.past(y, cache.APPLYING * y.nbytes))


def _inference_back(dins, douts, kept, *, eps, work):
    """dx = a dy is a line through 0."""
    (x, gamma, _, mean, var), (dx, dgamma, dbeta) = kept.inputs, dins[:3]
    rstd, a, zero, plain, slanted = work
    x, dy = _rows(x), _rows(douts[0])
    np.add(var, eps, out=rstd)
    np.sqrt(rstd, out=rstd)
    np.divide(1, rstd, out=rstd)
    if dx is not None:
        np.multiply(gamma, rstd, out=a)
        zero.fill(0)
        dx = _rows(dx)
        kernels.line(len(plain), dy, zero, a, zero, dx, cache.past(dx, cache.TRAINING * dx.nbytes))
    if dgamma is None and dbeta is None:
        return
    kernels.sums(len(plain), x, dy, mean, plain, slanted)
    if dgamma is not None:
        np.add.reduce(slanted, axis=0, out=dgamma)
        np.multiply(dgamma, rstd, out=dgamma)
    if dbeta is not None:
        np.add.reduce(plain, axis=0, out=dbeta)


def _average_work(phase, old, new, *, rate, factor):
    return (old,)


def _average(outs, saved, old, new, *, rate, factor, work):
    """A few numbers: NumPy, in arrays that are there."""
    (step,) = work
    np.multiply(new, factor, out=step, casting="same_kind")
    np.subtract(step, old, out=step)
    np.multiply(step, rate, out=step)
    np.add(old, step, out=outs[0])


OVERRIDES = {
    "batch_norm": Override(_forward, _backward, work=_work),
    "batch_norm_inference": Override(_inference, _inference_back, work=_inference_work),
    "moving_average": Override(_average, work=_average_work),
}
