"""Optimizer steps on Numba. Outputs may be the inputs: the kernels work in place, so what differs is copied first."""

from __future__ import annotations

import math
from functools import wraps

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn.ops import update
from xpnn_kernels.numba import threads as pool
from xpnn_kernels.numba import update as kernels

SPLIT = 1 << 16
"""Elements above which a step is shared among threads."""


def _run(rule, p, g, s=None, t=None, *, lr=0.0, a=0.0, b=0.0, eps=0.0):
    """See `kernels.stretch`."""
    none = p[:0]
    arrays = p, g, none if s is None else s, none if t is None else t
    kernels.stretches(pool.threads(p.size, SPLIT), rule, *arrays, lr, a, b, eps)


def _in_place(outs, inputs):
    for out, source in zip(outs, inputs, strict=True):
        if out is not source:
            np.copyto(out, source)
    return outs


def _work(phase, p, g, *_, l1, l2, **__):
    """g with penalties: an op does not write its inputs."""
    return (g,) if l1 or l2 else ()


def _penalised(p, g, work, l1, l2, decayed):
    """g + l2 p + l1 sign(p) in its first `decayed` elements."""
    if not work:
        return g
    _run(kernels.PENALISE, work[0][:decayed], g[:decayed], p[:decayed], a=l1, b=l2)
    np.copyto(work[0][decayed:], g[decayed:])
    return work[0]


def _sgd(outs, saved, p, g, lr, *, l1, l2, decayed, work):
    (p,) = _in_place(outs, (p,))
    _run(kernels.SGD, p, _penalised(p, g, work, l1, l2, decayed), lr=lr.item())


def _momentum(outs, saved, p, g, v, lr, *, momentum, nesterov, l1, l2, decayed, work):
    p, v = _in_place(outs, (p, v))
    rule = kernels.NESTEROV if nesterov else kernels.MOMENTUM
    _run(rule, p, _penalised(p, g, work, l1, l2, decayed), v, lr=lr.item(), a=momentum)


def _adagrad(outs, saved, p, g, s, lr, *, eps, l1, l2, decayed, work):
    p, s = _in_place(outs, (p, s))
    _run(kernels.ROOT, p, _penalised(p, g, work, l1, l2, decayed), s, lr=lr.item(), a=1.0, b=1.0, eps=eps)


def _rmsprop(outs, saved, p, g, s, lr, *, rho, eps, l1, l2, decayed, work):
    p, s = _in_place(outs, (p, s))
    _run(kernels.ROOT, p, _penalised(p, g, work, l1, l2, decayed), s, lr=lr.item(), a=rho, b=1 - rho, eps=eps)


def _adam(outs, saved, p, g, m, v, lr, step, *, beta1, beta2, eps, weight_decay, l1, l2, decayed, work):
    """The corrections of m and v are in the scalars: the efficient order of Kingma and Ba, ICLR 2015, section 2."""
    p, m, v = _in_place(outs[:3], (p, m, v))
    g = _penalised(p, g, work, l1, l2, decayed)
    rate, t = lr.item(), step.item() + 1
    if weight_decay:
        _run(kernels.SCALE, p[:decayed], p[:decayed], lr=1 - rate * weight_decay)
    root = math.sqrt(1 - beta2**t)
    _run(kernels.ADAM, p, g, m, v, lr=rate * root / (1 - beta1**t), a=beta1, b=beta2, eps=eps * root)
    np.add(step, 1, out=outs[3])


def _sums(phase, g, *, limit):
    """What every thread adds up."""
    return (Spec((pool.threads(g.size, SPLIT),), np.dtype(np.float64)),)


def _clip_norm(outs, saved, g, *, limit, work):
    (sums,), flat = work, g.reshape(-1)
    kernels.squares(sums.size, flat, sums)
    norm = math.sqrt(sums.sum())
    outs[1][...] = norm
    factor = limit / norm if norm > limit else 1.0
    if factor < 1 or not math.isfinite(norm) or outs[0] is not g:
        # Not a number where the gradient is not finite.
        _run(kernels.SCALE, outs[0].reshape(-1), flat, lr=factor if math.isfinite(norm) else math.nan)


def _bind(op, rule):
    """The rule, unless there is one input more, and it is not 0."""
    count, updated = len(op.inputs) - 1, [op.inputs.index(name) for name in op.updates]

    @wraps(rule)
    def forward(outs, saved, *given, **attrs):
        if len(given) > count and given[count].item() != 0:
            _in_place(outs, [given[i] for i in updated])
        else:
            rule(outs, saved, *given[:count], **attrs)

    return Override(forward, work=_work)


_RULES = {update.SGD: _sgd, update.MOMENTUM: _momentum, update.ADAGRAD: _adagrad, update.RMSPROP: _rmsprop}
OVERRIDES = {
    **{op.name: _bind(op, rule) for op, rule in {**_RULES, update.ADAM: _adam}.items()},
    "clip_norm": Override(_clip_norm, work=_sums),
}
