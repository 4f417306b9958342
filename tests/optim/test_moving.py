"""Models that move to another backend in the midst of training."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import optim
from xpnn.errors import BackendError

from .conftest import BACKENDS, METHODS, close, network, train


@pytest.mark.parametrize("method", METHODS)
def test_moving_between_backends_keeps_the_trajectory(method):
    make, own = METHODS[method]
    settings = {"lr": 0.05, "l2": 0.01, "clip_norm": 1.0, **own}
    still = network()
    train(still, make(still, **settings), 12)
    moving = network()
    optimizer = make(moving, **settings)
    parts = list(moving.parameters())
    for leg, place in enumerate([*BACKENDS, *BACKENDS[::-1]]):
        assert moving.to(place) is moving
        assert optimizer.arena.backend.name == place
        train(moving, optimizer, 12 // (2 * len(BACKENDS)), first=leg * 12 // (2 * len(BACKENDS)))
    assert [id(p) for p in moving.parameters()] == [id(p) for p in parts]
    for p, q in zip(moving.parameters(), still.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-11, atol=1e-13)


def test_gradients_gathered_before_a_move_count(other_backend):
    model = network()
    optimizer = optim.SGD(model, lr=0.1)
    before = [p.numpy().copy() for p in model.parameters()]
    x = np.ones((2, 4))
    model(x).sum().backward()
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    model.to(other_backend)
    model(x).sum().backward()
    optimizer.step()
    close(model.parameters(), [b - 0.2 * g for b, g in zip(before, grads, strict=True)])


def test_moving_half_of_what_an_optimizer_trains(other_backend):
    model = network()
    optim.SGD(model, lr=0.1)
    with pytest.raises(BackendError, match="trains parameters outside of this module; move the whole model"):
        model[0].to(other_backend)
    assert {p.backend.name for p in model.parameters()} == {BACKENDS[0]}


@pytest.mark.parametrize("order", [1, -1])
def test_a_lost_parameter_is_not_moved_back_to_its_old_values(order, other_backend):
    model = network()
    first = optim.SGD(list(model.parameters())[::order], lr=0.1)
    taken = model[0] if order == 1 else model[1]
    optim.SGD(taken, lr=0.1)
    taken.w.assign(np.full(taken.w.shape, 7.0))
    model.to(other_backend)
    assert np.all(taken.w.numpy() == 7)
    assert {p.backend.name for p in model.parameters()} == {other_backend}
    assert first.arena is not taken.w.arena
