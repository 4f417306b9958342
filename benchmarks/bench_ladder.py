"""The ladder, rung by rung: time for a step, after its losses were found equal to those of xpnn on NumPy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle

import numpy as np
import pytest

import xpnn
from xpnn.core import backend as backends
from xpnn_benchmarks import ladder
from xpnn_benchmarks.plugin import places

CLOSE, STEPS = 1e-9, 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    networks = ["mlp"] if metafunc.config.getoption("--quick") else list(ladder.NETWORKS)
    rows = [(name, rung) for name in networks for rung in ladder.rungs(name, places(metafunc.config))]
    metafunc.parametrize(("network", "rung"), rows, ids=[f"{name}, {rung.title}" for name, rung in rows])


def differs(network: str, rung: ladder.Rung) -> float:
    """By how much the losses of a few steps are not those on NumPy, in float64: a sample at a time and in batches."""
    oracle = ladder.Rung("", "numpy", ladder.BATCH, lambda *how: ladder.batches(*how, backends.get("numpy")))
    gaps = []
    for batch in {1, rung.batch}:
        got, want = (ladder.losses_of(r, network, batch, STEPS) for r in (rung, oracle))
        gaps.append(float(np.max(np.abs(got - want) / np.abs(want))))
    return max(gaps)


def test_rung(network: str, rung: ladder.Rung, measure: Callable[..., None]) -> None:
    gap = differs(network, rung)
    assert gap <= CLOSE, f"{rung.title}: its losses differ by {gap:.1e}"
    x, targets = ladder.data(network, "float32")
    step, batch = rung.make(network, "float32"), rung.batch
    starts = cycle(range(0, len(x), batch))

    def call() -> None:
        i = next(starts)
        step(x[i : i + batch], targets[i : i + batch])

    call()  # where steps are recorded, the second records and the third replays
    with xpnn.transfers() as seen:
        call()
    facts = {"suite": "ladder", "network": network, "title": ladder.NETWORKS[network].title, "rung": rung.title}
    facts |= {"backend": rung.backend, "batch": batch, "loss_gap": gap}
    facts["transfers"] = {"to_device": seen.to_device, "to_host": seen.to_host, "waits": seen.waits}
    measure(call, facts["title"], **facts)
