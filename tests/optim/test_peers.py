"""The trajectories of optimizers against those of PyTorch's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from xpnn import optim

from .conftest import give, gradients, parameters

torch: Any = pytest.importorskip("torch", reason="PyTorch is not installed")
pytestmark = pytest.mark.peers


@pytest.mark.parametrize(
    ("make", "settings", "theirs", "their_settings"),
    [
        (optim.SGD, {}, "SGD", {}),
        (optim.SGD, {"l2": 0.1}, "SGD", {"weight_decay": 0.1}),
        (optim.Momentum, {}, "SGD", {"momentum": 0.9}),
        (optim.Nesterov, {}, "SGD", {"momentum": 0.9, "nesterov": True}),
        (optim.AdaGrad, {}, "Adagrad", {}),
        (optim.RMSProp, {"rho": 0.99}, "RMSprop", {}),
        (optim.Adam, {}, "Adam", {}),
        (optim.Adam, {"l2": 0.1}, "Adam", {"weight_decay": 0.1}),
        (optim.AdamW, {"weight_decay": 0.1}, "AdamW", {"weight_decay": 0.1}),
    ],
)
def test_the_trajectory_is_that_of_pytorch(backend, make, settings, theirs, their_settings):
    params, grads = parameters(), gradients(10)
    for p in params:
        p.decay = True  # as PyTorch takes it
    twins = [torch.nn.Parameter(torch.tensor(p.numpy().copy())) for p in params]
    optimizer = make(params, lr=0.05, **settings)
    their = getattr(torch.optim, theirs)(twins, lr=0.05, **their_settings)
    for step in grads:
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
        for twin, g in zip(twins, step, strict=True):
            twin.grad = torch.tensor(g)
        their.step()
    for p, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(p.numpy(), twin.detach().numpy(), rtol=1e-9, atol=1e-11)


def test_clipping_is_that_of_pytorch(backend):
    params, (grads,) = parameters(), gradients(1)
    twins = [torch.nn.Parameter(torch.tensor(p.numpy().copy())) for p in params]
    for twin, g in zip(twins, grads, strict=True):
        twin.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(twins, 0.7)
    torch.optim.SGD(twins, lr=0.1).step()
    optimizer = optim.SGD(params, lr=0.1, clip_norm=0.7)
    give(params, grads)
    optimizer.step()
    for p, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(p.numpy(), twin.detach().numpy(), rtol=1e-5)  # theirs adds 1e-6 to the norm
