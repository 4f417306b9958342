"""Optimizer steps on CUDA: one launch over the arena."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Calls, Override, made
from xpnn.core.op import Spec

SOURCE = Source("update", {"step": (REAL, REAL), "squares": (REAL,), "clip": (REAL,)})
SGD, MOMENTUM, NESTEROV, ROOT, ADAM = range(5)


def _step(rule, outs, p, g, s=None, t=None, *, lr, counts=(None, None), unless=(), a=0.0, b=0.0, eps=0.0, **penalties):
    """See `step` in update.cu. counts: the steps so far, and where one more goes."""
    new, (stop,) = (*outs, None, None)[:3], unless or (None,)
    decay, l1, l2, decayed = (penalties.get(name, 0.0) for name in ("decay", "l1", "l2", "decayed"))
    args = (rule, p, g, s, t, *new, lr, *counts, stop, a, b, eps, decay, l1, l2, decayed, p.size)
    return made([SOURCE.kernel("step", p.dtype, lr.dtype).call(blocks(p.size), (256,), args)])


def _sgd(outs, saved, p, g, lr, *unless, **penalties):
    return _step(SGD, outs, p, g, lr=lr, unless=unless, **penalties)


def _momentum(outs, saved, p, g, v, lr, *unless, momentum, nesterov, **penalties):
    rule = NESTEROV if nesterov else MOMENTUM
    return _step(rule, outs, p, g, v, lr=lr, unless=unless, a=momentum, **penalties)


def _adagrad(outs, saved, p, g, s, lr, *unless, eps, **penalties):
    return _step(ROOT, outs, p, g, s, lr=lr, unless=unless, a=1.0, b=1.0, eps=eps, **penalties)


def _rmsprop(outs, saved, p, g, s, lr, *unless, rho, eps, **penalties):
    return _step(ROOT, outs, p, g, s, lr=lr, unless=unless, a=rho, b=1 - rho, eps=eps, **penalties)


def _adam(outs, saved, p, g, m, v, lr, step, *unless, beta1, beta2, eps, weight_decay, **penalties):
    options = {"a": beta1, "b": beta2, "eps": eps, "decay": weight_decay, **penalties}
    return _step(ADAM, outs[:3], p, g, m, v, lr=lr, counts=(step, outs[3]), unless=unless, **options)


def _scalars(specs, attrs):
    """Numbers, and lr and step of one dtype, as the arena has them."""
    floats = [spec for spec in specs if spec.dtype.kind == "f"]
    return all(spec.dtype.char in "fd" for spec in floats) and len({s.dtype for s in floats if not s.shape}) == 1


def _sums(phase, g, *, limit):
    """The sum of squares of each block."""
    return (Spec(blocks(g.size), np.dtype(np.float64)),)


def _clip_norm(outs, saved, g, *, limit, work):
    (sums,), n = work, g.size
    args = (g, outs[0], sums, sums.size, limit, outs[1], n)
    return made(
        [
            SOURCE.kernel("squares", g.dtype).call(sums.shape, (256,), (g, sums, n)),
            SOURCE.kernel("clip", g.dtype).call(sums.shape, (256,), args),
        ]
    )


_RULES: dict[str, Callable[..., Calls]] = {
    "sgd": _sgd,
    "momentum": _momentum,
    "adagrad": _adagrad,
    "rmsprop": _rmsprop,
    "adam": _adam,
}
OVERRIDES = {
    **{name: Override(rule, guard=_scalars) for name, rule in _RULES.items()},
    "clip_norm": Override(_clip_norm, work=_sums),
}
