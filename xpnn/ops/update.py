"""The rules by which optimizers change parameters: one op a rule, over flat arrays, run in place.

All share the gradient with penalties, over the first `decayed` elements (see `optim.arena`):
    g' = g + l2 p + l1 sign(p)
`lr` and `step` are 0-d arrays, so that a recorded step reads their present values. `unless`, which may be left out, is
a whole number: where it is not 0 nothing changes (a training that came upon a NaN keeps its weights by that).
"""

from __future__ import annotations

import numpy as np

from xpnn.core.arithmetic import elementwise_cost, need_floating
from xpnn.core.op import Arg, Case, Op, Outline, register
from xpnn.errors import DTypeError, ShapeError


def _penalised(xp, p, g, l1, l2, decayed):
    if l1 == 0 and l2 == 0:
        return g
    return g + _head(xp, p, decayed) * (l2 * p + l1 * xp.sign(p))


def _head(xp, p, decayed):
    """1 for the elements that decay, 0 for the rest."""
    return xp.astype(xp.arange(p.shape[0]) < decayed, p.dtype)


def _sgd(xp, p, g, lr, *, l1, l2, decayed):
    return (p - xp.astype(lr, p.dtype) * _penalised(xp, p, g, l1, l2, decayed),), ()


def _momentum(xp, p, g, v, lr, *, momentum, nesterov, l1, l2, decayed):
    g = _penalised(xp, p, g, l1, l2, decayed)
    v = momentum * v + g
    return (p - xp.astype(lr, p.dtype) * (g + momentum * v if nesterov else v), v), ()


def _adagrad(xp, p, g, s, lr, *, eps, l1, l2, decayed):
    g = _penalised(xp, p, g, l1, l2, decayed)
    s = s + g * g
    return (p - xp.astype(lr, p.dtype) * g / (xp.sqrt(s) + eps), s), ()


def _rmsprop(xp, p, g, s, lr, *, rho, eps, l1, l2, decayed):
    g = _penalised(xp, p, g, l1, l2, decayed)
    s = rho * s + (1 - rho) * g * g
    return (p - xp.astype(lr, p.dtype) * g / (xp.sqrt(s) + eps), s), ()


def _adam(xp, p, g, m, v, lr, step, *, beta1, beta2, eps, weight_decay, l1, l2, decayed):
    g = _penalised(xp, p, g, l1, l2, decayed)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g * g
    # In float64: 1 - beta2^t loses all but four digits in float32 at the first steps.
    t = xp.astype(step, xp.float64) + 1
    m_hat = m / xp.astype(1 - beta1**t, p.dtype)
    v_hat = v / xp.astype(1 - beta2**t, p.dtype)
    lr = xp.astype(lr, p.dtype)
    if weight_decay:
        p = p - lr * weight_decay * _head(xp, p, decayed) * p
    return (p - lr * m_hat / (xp.sqrt(v_hat) + eps), m, v, step + 1), ()


def _record(name, forward, states, scalars, attrs):
    """states: the arrays beside p and g that the rule reads and writes; the outputs are p, the states and `step`."""
    inputs = ("p", "g", *states, *scalars, "unless?")
    vectors, count = len(states) + 2, len(inputs) - 1

    def infer(*specs, **attrs):
        p = specs[0]
        need_floating(name, **dict(zip(inputs[:vectors], specs, strict=False)))
        need_floating(name, **dict(zip(scalars, specs[vectors:], strict=False)))
        if len(specs) > count and specs[count].dtype != np.int64:
            raise DTypeError(f"{name}: expected unless as int64; got {specs[count].dtype}")
        if len(p.shape) != 1 or any(spec.shape != p.shape for spec in specs[:vectors]):
            raise ShapeError(f"{name}: expected flat arrays of one length; got {[s.shape for s in specs[:vectors]]}")
        if any(spec.shape for spec in specs[vectors:]):
            raise ShapeError(f"{name}: expected {scalars} as scalars; got {[s.shape for s in specs[vectors:]]}")
        return Outline((p, *specs[2:vectors], *(specs[vectors + 1 : count])))

    def guarded(xp, *given, **attrs):
        outs, saved = forward(xp, *given[:count], **attrs)
        if len(given) == count:
            return outs, saved
        before = given[0], *given[2:vectors], *given[vectors + 1 : count]
        goes_on = given[count] == 0
        return tuple([xp.where(goes_on, new, old) for new, old in zip(outs, before, strict=True)]), saved

    def args(kinds, size=23):
        return tuple(Arg((size,), kind) for kind in kinds) + tuple(Arg((), "positive") for _ in scalars)

    # First moments have any sign, second ones none.
    kinds = ("normal", "normal", *("normal" if state == "m" or name == "momentum" else "positive" for state in states))
    plain = {"l1": 0.0, "l2": 0.0, "decayed": 23}
    cases = [Case(args(kinds), {**row, **plain}) for row in attrs]
    penalised = {**attrs[-1], "l1": 0.01, "l2": 0.1, "decayed": 14}
    cases.append(Case(args(kinds), penalised))
    cases += [Case((*args(kinds), Arg((), "labels", high=high)), penalised) for high in (1, 1 << 16)]
    return register(
        Op(
            name=name,
            inputs=inputs,
            infer=infer,
            forward=guarded,
            cost=elementwise_cost(2 + 4 * len(states)),
            cases=tuple(cases),
            large=(Case(args(kinds, 1 << 20), {**attrs[0], **plain, "decayed": 1 << 20}),),
            updates=("p", *states, *scalars[1:]),
        )
    )


SGD = _record("sgd", _sgd, (), ("lr",), [{}])
MOMENTUM = _record(
    "momentum",
    _momentum,
    ("v",),
    ("lr",),
    [{"momentum": 0.9, "nesterov": False}, {"momentum": 0.9, "nesterov": True}],
)
ADAGRAD = _record("adagrad", _adagrad, ("s",), ("lr",), [{"eps": 1e-10}])
RMSPROP = _record("rmsprop", _rmsprop, ("s",), ("lr",), [{"rho": 0.9, "eps": 1e-8}])
ADAM = _record(
    "adam",
    _adam,
    ("m", "v"),
    ("lr", "step"),
    [
        {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.0},
        {"beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.01},
    ],
)


def _clip_norm(xp, g, *, limit):
    wide = xp.astype(g, xp.float64)  # the squares of 1e20 are beyond float32, and such gradients are what this is for
    norm = xp.sqrt(xp.sum(wide * wide))
    # norm - norm: 0, and NaN where the gradient is not finite, which must not be hidden by a factor of 0.
    over, one = norm > limit, xp.ones_like(norm)
    factor = xp.where(over, limit / xp.where(over, norm, one), one) + (norm - norm)
    return (xp.astype(wide * factor, g.dtype), xp.astype(norm, g.dtype)), ()


CLIP_NORM = register(
    Op(
        name="clip_norm",
        inputs=("g",),
        infer=lambda g, limit: Outline((g, g._replace(shape=()))),
        forward=_clip_norm,
        cost=elementwise_cost(3),
        cases=(Case((Arg((23,)),), {"limit": 1.0}), Case((Arg((23,)),), {"limit": 1e3})),
        large=(Case((Arg((1 << 20,)),), {"limit": 1.0}),),
        updates=("g", ""),
    )
)
"""g scaled to a Euclidean norm of at most `limit`, and the norm before (Pascanu, Mikolov and Bengio, ICML 2013)."""
