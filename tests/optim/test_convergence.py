"""Optimizers find the least value of functions whose least value is known."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import optim


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (optim.SGD, {"lr": 0.02}),
        (optim.Momentum, {"lr": 0.01}),
        (optim.Nesterov, {"lr": 0.01}),
        (optim.AdaGrad, {"lr": 0.5}),
        (optim.RMSProp, {"lr": 0.01}),
        (optim.Adam, {"lr": 0.05}),
        (optim.AdamW, {"lr": 0.05, "weight_decay": 0.0}),
    ],
)
def test_they_descend_into_a_bowl(backend, make, settings):
    """f(p) = sum of a_i (p_i - 1)^2 / 2, with curvatures from 1 to 30."""
    curvature = np.array([1.0, 3.0, 10.0, 30.0])
    p = xpnn.Parameter(backend.from_host(np.array([-1.0, 2.0, 0.0, 3.0])), backend)
    optimizer = make([p], **settings)
    for _ in range(400):
        optimizer.zero_grad()
        loss = ((p - 1.0).square() * xpnn.tensor(curvature)).sum() * 0.5
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), 1.0, atol=0.02)


def test_adam_follows_a_bent_valley(backend):
    """Rosenbrock's function (1 - x)^2 + 100 (y - x^2)^2 from (-1.2, 1), with its least value at (1, 1)."""
    p = xpnn.Parameter(backend.from_host(np.array([-1.2, 1.0])), backend)
    optimizer = optim.Adam([p], lr=0.05)
    for _ in range(1500):
        optimizer.zero_grad()
        x, y = p[0], p[1]
        ((1.0 - x).square() + 100.0 * (y - x.square()).square()).backward()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), 1.0, atol=0.02)
