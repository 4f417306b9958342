"""The state of an optimizer: training goes on from it to the bit, and one that does not fit changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import optim
from xpnn.errors import ConfigError

from .conftest import METHODS, network, train


@pytest.mark.parametrize("method", METHODS)
def test_state_goes_on_where_it_was(backend, method):
    make, own = METHODS[method]
    model = network()
    optimizer = make(model, lr=0.05, **own)
    train(model, optimizer, 3)
    optimizer.lr = 0.02
    weights, state = model.state(), optimizer.state()
    train(model, optimizer, 3, first=3)
    assert "lr" in state
    assert all(isinstance(a, np.ndarray) for a in state.values())

    again = network(seed=9)
    resumed = make(again, lr=0.7, **own)
    again.load_state(weights)
    resumed.load_state(state)
    assert resumed.lr == 0.02
    train(again, resumed, 3, first=3)
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_state_is_a_copy():
    model = network()
    optimizer = optim.Momentum(model)
    train(model, optimizer, 1)
    state = optimizer.state()
    kept = {name: a.copy() for name, a in state.items()}
    train(model, optimizer, 1)
    for name, a in kept.items():
        np.testing.assert_array_equal(state[name], a)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda s: s.pop("m"), r"optimizer state: expected \['lr', 'm', 'step', 'v'\]; got \['lr', 'step', 'v'\]"),
        (lambda s: s.update(m=s["m"][:-1]), r"optimizer state m: expected \(72,\) float64; got \(71,\) float64"),
        (lambda s: s.update(v=s["v"].astype("float32")), r"optimizer state v: expected .* float64; got .* float32"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(damage, text):
    model = network()
    optimizer = optim.Adam(model)
    train(model, optimizer, 2)
    before, state = optimizer.state(), optimizer.state()
    state = {name: a + 1 for name, a in state.items()}
    damage(state)
    with pytest.raises(ConfigError, match=text):
        optimizer.load_state(state)
    for name, a in optimizer.state().items():
        np.testing.assert_array_equal(a, before[name])
