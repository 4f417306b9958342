"""Optimizer steps on Numba. Outputs may be the inputs: the kernels work in place, so what differs is copied first."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn_kernels.numba import threads as pool
from xpnn_kernels.numba import update as kernels

SPLIT = 1 << 16
"""Elements above which a step is shared among threads."""


def _in_place(outs, inputs):
    for out, source in zip(outs, inputs, strict=True):
        if out is not source:
            np.copyto(out, source)
    return outs


def _work(phase, p, g, *_, l1, l2, **__):
    """g with penalties: an op does not write its inputs."""
    return (g,) if l1 or l2 else ()


def _penalised(p, g, work, l1, l2, decayed):
    if not work:
        return g
    np.copyto(work[0], g)
    kernels.penalise(p, work[0], l1, l2, decayed)
    return work[0]


def _sgd(outs, saved, p, g, lr, *, l1, l2, decayed, work):
    (p,) = _in_place(outs, (p,))
    kernels.sgd(p, _penalised(p, g, work, l1, l2, decayed), lr.item())


def _momentum(outs, saved, p, g, v, lr, *, momentum, nesterov, l1, l2, decayed, work):
    p, v = _in_place(outs, (p, v))
    kernels.momentum(p, _penalised(p, g, work, l1, l2, decayed), v, lr.item(), momentum, nesterov)


def _adagrad(outs, saved, p, g, s, lr, *, eps, l1, l2, decayed, work):
    p, s = _in_place(outs, (p, s))
    kernels.adagrad(p, _penalised(p, g, work, l1, l2, decayed), s, lr.item(), eps)


def _rmsprop(outs, saved, p, g, s, lr, *, rho, eps, l1, l2, decayed, work):
    p, s = _in_place(outs, (p, s))
    kernels.rmsprop(p, _penalised(p, g, work, l1, l2, decayed), s, lr.item(), rho, eps)


def _adam(outs, saved, p, g, m, v, lr, step, *, beta1, beta2, eps, weight_decay, l1, l2, decayed, work):
    p, m, v = _in_place(outs[:3], (p, m, v))
    g = _penalised(p, g, work, l1, l2, decayed)
    if weight_decay:
        kernels.shrink(p, 1 - lr.item() * weight_decay, decayed)
    threads = pool.threads()
    if threads > 1 and p.size >= SPLIT:
        kernels.adam_on(threads, p, g, m, v, lr.item(), step.item(), beta1, beta2, eps)
    else:
        kernels.adam(p, g, m, v, lr.item(), step.item(), beta1, beta2, eps)
    np.add(step, 1, out=outs[3])


def _clip_norm(outs, saved, g, *, limit):
    outs[1][...] = kernels.clip_norm(g.reshape(-1), limit, outs[0].reshape(-1))


OVERRIDES = {
    "sgd": Override(_sgd, work=_work),
    "momentum": Override(_momentum, work=_work),
    "adagrad": Override(_adagrad, work=_work),
    "rmsprop": Override(_rmsprop, work=_work),
    "adam": Override(_adam, work=_work),
    "clip_norm": Override(_clip_norm),
}
