"""Batches: what they hold, their order, and what happens to a batch after the next one."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.core import backend as backends
from xpnn.core.random import Generator
from xpnn.data import Batches, from_arrays
from xpnn.errors import AutogradError, ConfigError

HOSTS = ("numpy", "numba")


def numbered(n=10):
    return from_arrays(np.arange(2.0 * n, dtype="float32").reshape(n, 2), np.arange(n) % 3)


def batches(n=10, size=4, backend="numpy", **settings):
    return Batches(numbered(n), size, backends.get(backend), **settings)


@pytest.mark.parametrize("backend", HOSTS)
def test_every_sample_once(backend):
    drawn = [(x.numpy().copy(), y.numpy().copy()) for x, y in batches(backend=backend, shuffle=True).epoch()]
    assert [len(x) for x, _ in drawn] == [4, 4, 2]
    rows = np.concatenate([x for x, _ in drawn])[:, 0].astype(int) // 2
    assert sorted(rows) == list(range(10))
    assert np.array_equal(np.concatenate([y for _, y in drawn]), rows % 3)


@pytest.mark.parametrize("backend", HOSTS)
def test_backward_over_an_overwritten_batch(backend):
    w = xpnn.tensor(np.ones((2, 3), "float32"), backend=backend, requires_grad=True)
    losses = [xpnn.ops.dense(x, w).sum() for x, _ in batches(backend=backend).epoch()]
    with pytest.raises(AutogradError, match="x of dense was changed since the forward pass"):
        sum(losses[1:], losses[0]).backward()
    assert w.grad is None
    losses[-1].backward()  # the last one is still there


def test_backward_over_overwritten_targets():
    logits = xpnn.tensor(np.zeros((4, 3), "float32"), requires_grad=True)
    given = batches(8).epoch()
    loss = xpnn.ops.cross_entropy(logits, next(given)[1])
    next(given)
    with pytest.raises(AutogradError, match="changed"):
        loss.backward()


def test_backward_before_the_next_batch():
    w = xpnn.tensor(np.ones((2, 1), "float32"), requires_grad=True)
    for x, _ in batches().epoch():
        (x @ w).sum().backward()
    assert w.grad.numpy().ravel().tolist() == numbered().x.sum(0).tolist()


def test_the_order_is_a_function_of_seed_and_epoch():
    first, second = batches(100, shuffle=True, seed=5), batches(100, shuffle=True, seed=5)
    assert np.array_equal(first.order(3), second.order(3))
    orders = {
        batches(100, shuffle=True, seed=seed).order(epoch).tobytes() for seed in (0, 1, 1 << 63) for epoch in (0, 1)
    }
    assert len(orders) == 6
    assert batches(5).order(1).tolist() == [0, 1, 2, 3, 4]


def test_the_order_shares_no_words_with_weights_of_its_seed():
    assert not np.array_equal(batches(100, shuffle=True).order(0), Generator(0).permutation(100))


@pytest.mark.parametrize("settings", [{"size": 0}, {"seed": -1}, {"seed": 1 << 64}])
def test_settings_out_of_range(settings):
    with pytest.raises(ConfigError, match="expected"):
        batches(shuffle=True, **settings)
