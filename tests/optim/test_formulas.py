"""Optimizers against the formulas of their papers."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import xpnn
from xpnn import optim

from .conftest import METHODS, SHAPES, close, descend, give, gradients, parameters

# The formulas, over a dict of states `s` for one parameter ------------------------------------------------------------


def sgd(p, g, s, t, lr):
    return p - lr * g


def momentum(p, g, s, t, lr, momentum=0.9, nesterov=False):
    s["v"] = momentum * s.get("v", 0) + g
    return p - lr * (g + momentum * s["v"] if nesterov else s["v"])


def adagrad(p, g, s, t, lr, eps=1e-10):
    s["s"] = s.get("s", 0) + g**2
    return p - lr * g / (np.sqrt(s["s"]) + eps)


def rmsprop(p, g, s, t, lr, rho=0.9, eps=1e-8):
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    return p - lr * g / (np.sqrt(s["s"]) + eps)


def adam(p, g, s, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g**2
    return p - lr * (s["m"] / (1 - beta1**t)) / (np.sqrt(s["v"] / (1 - beta2**t)) + eps)


FORMULAS = {
    "sgd": sgd,
    "momentum": momentum,
    "nesterov": partial(momentum, nesterov=True),
    "nesterov by setting": momentum,
    "adagrad": adagrad,
    "rmsprop": rmsprop,
    "adam": adam,
    "adamw": adam,  # and the weights decay, whatever the gradient: see `by_formula`
}
COMMON = {
    "plain": {},
    "l1": {"l1": 0.3},
    "l2": {"l2": 0.2},
    "both": {"l1": 0.1, "l2": 0.2},
    "clip_value": {"clip_value": 0.5},
    "clip_norm": {"clip_norm": 1.0},
    "everything": {"l1": 0.1, "l2": 0.2, "clip_value": 0.9, "clip_norm": 2.0},
}


def by_formula(params, grads, rule, lr, l1=0.0, l2=0.0, clip_value=None, clip_norm=None, weight_decay=0.0, **own):
    """The values that the formula gives after these gradients, in float64."""
    values = [p.numpy().astype("float64") for p in params]
    states = [{} for _ in params]
    for t, step in enumerate(grads, 1):
        step = [g.astype("float64") for g in step]
        if clip_value is not None:
            step = [np.clip(g, -clip_value, clip_value) for g in step]
        if clip_norm is not None:
            norm = np.sqrt(sum((g**2).sum() for g in step))
            step = [g * min(1, clip_norm / norm) for g in step]
        for i, (p, g) in enumerate(zip(values, step, strict=True)):
            if params[i].decay:
                g = g + l2 * p + l1 * np.sign(p)
                p = p - lr * weight_decay * p
            values[i] = rule(p, g, states[i], t, lr, **own)
    return values


# What steps give ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("common", COMMON)
@pytest.mark.parametrize("method", METHODS)
def test_the_formula(backend, method, common, dtype):
    make, own = METHODS[method]
    params, grads = parameters(dtype), gradients(6, dtype)
    expected = by_formula(params, grads, FORMULAS[method], 0.05, **COMMON[common], **own)
    descend(make(params, lr=0.05, **COMMON[common], **own), params, grads)
    close(params, expected, dtype)
    assert all(p.dtype == dtype and p.backend is backend for p in params)


def test_adamw_decays_by_a_hundredth_unless_told(backend):
    params, grads = parameters(), gradients(6)
    expected = by_formula(params, grads, adam, 0.05, weight_decay=0.01)
    descend(optim.AdamW(params, lr=0.05), params, grads)
    close(params, expected)


def test_the_first_step_of_adam_is_the_learning_rate(backend):
    """m' = g and v' = g^2, so |step| = lr whatever the gradient: the corrections must be those of t = 1."""
    params = parameters("float32")
    before = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params, lr=0.01)
    give(params, [np.full(shape, 1e-3, "float32") for shape in SHAPES.values()])
    optimizer.step()
    for p, b in zip(params, before, strict=True):
        np.testing.assert_allclose(b - p.numpy(), 0.01, rtol=1e-3)


def test_a_new_learning_rate_holds_from_the_next_step(backend):
    params, grads = parameters(), gradients(3)
    optimizer = optim.SGD(params, lr=0.1)
    before = [p.numpy().copy() for p in params]
    for rate, step in zip([0.1, 0.0, 0.3], grads, strict=True):
        optimizer.lr = rate
        assert optimizer.lr == rate
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
    close(params, [b - 0.1 * g - 0.3 * h for b, g, h in zip(before, grads[0], grads[2], strict=True)])


def test_clipping_does_not_hide_what_is_not_finite(backend):
    params, (grads,) = parameters("float32"), gradients(1, "float32")
    grads[0][0, 0] = np.inf
    optimizer = optim.SGD(params, lr=0.1, clip_norm=1.0)
    for p, g in zip(params, grads, strict=True):
        p.backward(xpnn.tensor(g))
    with np.errstate(invalid="ignore"):
        optimizer.step()
    assert not any(np.isfinite(p.numpy()).any() for p in params)
