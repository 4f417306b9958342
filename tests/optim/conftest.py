"""Every optimizer by name, parameters that are given gradients without a forward pass, and a network to train."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.core import backend as backends

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]
METHODS = {
    "sgd": (optim.SGD, {}),
    "momentum": (optim.Momentum, {"momentum": 0.8}),
    "nesterov": (optim.Nesterov, {"momentum": 0.8}),
    "nesterov by setting": (optim.Momentum, {"nesterov": True}),
    "adagrad": (optim.AdaGrad, {"eps": 1e-6}),
    "rmsprop": (optim.RMSProp, {"rho": 0.7}),
    "adam": (optim.Adam, {"beta1": 0.8, "beta2": 0.9}),
    "adamw": (optim.AdamW, {"weight_decay": 0.2}),
}
SHAPES = {"w0": (3, 5), "b0": (5,), "w1": (5, 2), "b1": (2,)}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


@pytest.fixture(params=BACKENDS)
def backend(request):
    with xpnn.use(request.param) as place:
        yield place


@pytest.fixture
def other_backend():
    """The name of one that is not the default."""
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    return BACKENDS[1]


def parameters(dtype="float64", seed=0):
    """Weights that decay and biases that do not, the biases first in between."""
    rng = np.random.default_rng(seed)
    made = []
    for name, shape in SHAPES.items():
        values = rng.normal(size=shape).astype(dtype)
        values.flat[0] = 0.0  # where sign(p) = 0
        place = backends.current()
        made.append(xpnn.Parameter(place.from_host(values), place, decay=name.startswith("w")))
    return made


def gradients(steps, dtype="float64"):
    rng = np.random.default_rng(1)
    return [[rng.normal(size=shape).astype(dtype) for shape in SHAPES.values()] for _ in range(steps)]


def give(params, grads):
    """Let these be the gradients, as a backward pass would."""
    for p, g in zip(params, grads, strict=True):
        (p * xpnn.tensor(g, backend=p.backend)).sum().backward()


def descend(optimizer, params, grads):
    """A step along each of these gradients."""
    for step in grads:
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()


def close(params, expected, dtype="float64"):
    for p, e in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.numpy(), e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


def network(seed=3):
    xpnn.seed(seed)
    return nn.Sequential(nn.Dense(4, 8, activation="tanh"), nn.Dense(8, 3)).astype("float64")


def train(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        rng = np.random.default_rng(step)
        x, y = rng.normal(size=(16, 4)), rng.normal(size=(16, 3))
        optimizer.zero_grad()
        out = model(xpnn.tensor(x, backend=model.backend))
        (out - xpnn.tensor(y, backend=model.backend)).square().mean().backward()
        optimizer.step()
