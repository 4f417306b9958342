"""Batches: what they hold, their order, and what happens to a batch after the next one."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.core import backend as backends
from xpnn.core.random import Generator
from xpnn.data import Batches, Dataset, from_arrays
from xpnn.errors import AutogradError, BackendError, ConfigError

HOSTS = ("numpy", "numba")


def numbered(n=10):
    return from_arrays(np.arange(2.0 * n, dtype="float32").reshape(n, 2), np.arange(n) % 3)


def batches(n=10, size=4, backend="numpy", **settings):
    return Batches(numbered(n), size, backends.get(backend), **settings)


def test_a_backend_by_its_name_and_what_is_no_data_set():
    x, _ = next(Batches(numbered(), 4, "numba").epoch())
    assert x.backend is backends.get("numba")
    with pytest.raises(BackendError, match="backend 'nmpy' is unknown"):
        Batches(numbered(), 4, "nmpy")
    with pytest.raises(
        ConfigError, match=r"Batches: expected a Dataset; got ndarray\. Make one: xpnn\.data\.from_arrays"
    ):
        Batches(np.ones((3, 2)), 4, "numpy")


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


def pictures(n=9, **settings):
    x = np.arange(1, 1 + n * 30, dtype="uint8").reshape(n, 6, 5, 1)
    return Batches(from_arrays(x, np.arange(n) % 3), 4, backends.get(settings.pop("backend", "numpy")), **settings)


def shown(given, epoch=0, start=0):
    return np.concatenate([x.numpy().copy() for x, _ in given.epoch(epoch, start)])


@pytest.mark.parametrize("backend", HOSTS)
def test_jitter_moves_every_image_by_a_number_of_its_own(backend):
    plain, moved = shown(pictures()), shown(pictures(jitter=2, backend=backend, seed=3))
    ways = set()
    for still, image in zip(plain[..., 0], moved[..., 0], strict=True):
        padded = np.pad(still, 2)  # black comes in
        found = [(i, j) for i in range(5) for j in range(5) if np.array_equal(padded[i : i + 6, j : j + 5], image)]
        assert len(found) == 1
        ways |= set(found)
    assert len(ways) > 4


def test_jitter_is_a_function_of_seed_epoch_and_place():
    first = shown(pictures(jitter=2, seed=5), epoch=3)
    assert np.array_equal(shown(pictures(jitter=2, seed=5, backend="numba"), epoch=3), first)
    assert np.array_equal(shown(pictures(jitter=2, seed=5), epoch=3, start=1), first[4:])
    assert not np.array_equal(shown(pictures(jitter=2, seed=5), epoch=4), first)
    assert not np.array_equal(shown(pictures(jitter=2, seed=6), epoch=3), first)


def test_jitter_brings_in_what_black_is():
    data = from_arrays(np.full((8, 6, 5, 1), 9, "uint8"), np.arange(8) % 3).normalise(4.0, 2.0)
    seen = np.unique(shown(Batches(data, 4, backends.get("numpy"), jitter=2)))
    assert seen.tolist() == [-2.0, 2.5]


@pytest.mark.parametrize("jitter", [-1, 5, 9])
def test_jitter_out_of_range(jitter):
    with pytest.raises(ConfigError, match="jitter: expected images"):
        pictures(jitter=jitter)
    with pytest.raises(ConfigError, match=r"for samples \(2,\)"):
        batches(jitter=1)


def test_ids_are_not_shifted():
    ids = Dataset(np.zeros((4, 6, 5, 1), "int64"), np.zeros(4, "int64"))
    with pytest.raises(ConfigError, match="jitter: expected images"):
        Batches(ids, 2, backends.get("numpy"), jitter=1)
