"""Gradients of parameters in an arena: how they gather, are forgotten, and what a step makes of missing ones."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import optim

from .conftest import close, give, gradients, network, parameters


def test_gradients_gathered_before_binding_count(backend):
    params, grads = parameters(), gradients(2)
    before = [p.numpy().copy() for p in params]
    give(params, grads[0])
    optimizer = optim.SGD(params, lr=0.1)
    give(params, grads[1])
    optimizer.step()
    close(params, [b - 0.1 * (g + h) for b, g, h in zip(before, *grads, strict=True)])


def test_zero_grad_reads_as_zeros_though_nothing_is_written(backend):
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    give(params, gradients(1)[0])
    optimizer.zero_grad()
    assert np.any(backend.to_host(optimizer.arena.flat["gradients"]) != 0)
    for p in params:
        assert np.all(p.grad.numpy() == 0)


def test_gradients_add_up_until_they_are_forgotten(backend):
    params, grads = parameters(), gradients(3)
    optimizer = optim.SGD(params, lr=0.1)
    give(params, grads[0])
    give(params, grads[1])
    close([p.grad for p in params], [g + h for g, h in zip(*grads[:2], strict=True)])
    optimizer.zero_grad()
    give(params, grads[2])
    close([p.grad for p in params], grads[2])


def test_a_parameter_out_of_the_loss_steps_with_zero(backend):
    params, grads = parameters(), gradients(2)
    optimizer = optim.Momentum(params, lr=0.1, momentum=0.5)
    give(params, grads[0])
    optimizer.step()
    middle = [p.numpy().copy() for p in params]
    optimizer.zero_grad()
    give(params[:1], grads[1][:1])
    optimizer.step()
    close(params[:1], [middle[0] - 0.1 * (0.5 * grads[0][0] + grads[1][0])])
    close(params[1:], [m - 0.05 * g for m, g in zip(middle[1:], grads[0][1:], strict=True)])


def test_a_step_without_any_backward_changes_nothing(backend):
    params = parameters()
    before = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params, clip_norm=1.0, clip_value=1.0)
    optimizer.step()
    close(params, before)


def test_a_tied_parameter_is_stepped_once(backend):
    shared = xpnn.Parameter(backend.from_host(np.ones((2, 2))), backend)
    before = shared.numpy().copy()
    optimizer = optim.SGD([shared, shared], lr=0.1)
    assert len(optimizer.arena.parameters) == 1
    x = xpnn.tensor(np.array([[1.0, 2.0]]))
    ((x @ shared) @ shared).sum().backward()
    # d/dW of sum(x W W) = x^T (1 W^T) + (x W)^T 1
    ones = np.ones((1, 2))
    expected = np.array([[1.0, 2.0]]).T @ (ones @ before.T) + (np.array([[1.0, 2.0]]) @ before).T @ ones
    optimizer.step()
    np.testing.assert_allclose(shared.numpy(), before - 0.1 * expected, rtol=1e-12)


def test_a_step_makes_an_older_graph_useless():
    model = network()
    optimizer = optim.SGD(model, lr=0.1)
    loss = model(np.ones((2, 4))).square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(xpnn.errors.AutogradError, match="was changed since the forward pass"):
        loss.backward()
