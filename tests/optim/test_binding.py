"""Which parameters an optimizer has: one of several, one after another, the same anew, none of a copy."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import xpnn
from xpnn import optim
from xpnn.errors import ConfigError

from .conftest import BACKENDS, close, network, train


def test_two_optimizers_on_the_halves_of_a_model(backend):
    model, twin = network(), network()
    for p in (*model.parameters(), *twin.parameters()):
        assert p.backend is backend
    left, right = optim.SGD(model[0], lr=0.1), optim.Adam(model[1], lr=0.01)
    one = optim.SGD(twin[0], lr=0.1)
    other = optim.Adam(twin[1], lr=0.01)
    for step in range(3):
        x = np.random.default_rng(step).normal(size=(5, 4))
        for m, optimizers in ((model, (left, right)), (twin, (other, one))):
            m.zero_grad()
            m(xpnn.tensor(x)).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    close(model.parameters(), [p.numpy() for p in twin.parameters()])
    assert left.arena is not right.arena
    place = BACKENDS[-1]
    model.to(place)
    assert left.arena.backend.name == right.arena.backend.name == place


def test_another_optimizer_takes_over():
    model = network()
    first = optim.Adam(model)
    train(model, first, 2)
    second = optim.SGD(model[0], lr=0.1)
    with pytest.raises(ConfigError, match="Adam: another optimizer has taken over parameters of this one"):
        first.step()
    second.step()


def test_binding_again_begins_anew():
    model = network()
    optimizer = optim.Adam(model)
    train(model, optimizer, 3)
    assert optimizer.state()["step"] == 3
    values = [p.numpy().copy() for p in model.parameters()]
    assert optimizer.bind(model) is optimizer
    assert optimizer.state()["step"] == 0
    close(model.parameters(), values)
    train(model, optimizer, 1)


def test_a_copied_model_has_no_part_in_the_training_of_the_first():
    model = network()
    optimizer = optim.SGD(model, lr=0.1)
    twin = copy.deepcopy(model)
    before = twin.state()
    train(model, optimizer, 2)
    for name, a in twin.state().items():
        np.testing.assert_array_equal(a, before[name])
    assert [p.decay for p in twin.parameters()] == [p.decay for p in model.parameters()]
    train(twin, optim.SGD(twin, lr=0.1), 2)
    close(twin.parameters(), [p.numpy() for p in model.parameters()])
