"""Every rung computes the same, and one that does not is not timed."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn.core import backend
from xpnn_benchmarks import bench_ladder, ladder

PLACES = [backend.get("numpy"), backend.get("numba")]
ROWS = [(name, rung) for name in ladder.NETWORKS for rung in ladder.rungs(name, PLACES)]


@pytest.fixture(autouse=True)
def few(monkeypatch):
    monkeypatch.setattr(ladder, "BATCH", 8)
    monkeypatch.setattr(bench_ladder, "STEPS", 3)


@pytest.mark.parametrize(("network", "rung"), ROWS, ids=[f"{name}, {rung.title}" for name, rung in ROWS])
def test_the_losses_are_those_on_numpy(network, rung):
    assert bench_ladder.differs(network, rung._replace(batch=min(rung.batch, 8))) <= bench_ladder.CLOSE


def test_another_learning_rate_is_seen(monkeypatch):
    def make(network, dtype):
        step = ladder.vectors(network, dtype)

        def wrong(x, targets):
            step(x, targets)
            return step(x, targets)

        return wrong

    rung = ladder.Rung("", "", 1, make)
    with pytest.raises(AssertionError, match="losses in float32 differ"):
        bench_ladder.differs("mlp", rung)
    monkeypatch.setattr(bench_ladder, "CLOSE_FLOAT32", 9)
    assert bench_ladder.differs("mlp", rung) > bench_ladder.CLOSE


def test_from_the_bottom_up():
    titles = [rung.title for rung in ladder.rungs("mlp", PLACES)]
    assert titles[0].startswith("objects")
    assert titles[-1] == "numba, recorded"
    assert not [rung for rung in ladder.rungs("cnn", PLACES) if rung.batch == 1]


def test_weights_are_one_seed():
    a, b = ladder.weights("mlp"), ladder.weights("mlp")
    assert all(np.array_equal(a[name], b[name]) for name in a)
