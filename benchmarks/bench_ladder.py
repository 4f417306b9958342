"""The ladder, rung by rung: time for a step, after its losses were found equal to those of xpnn on NumPy."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import pytest

import xpnn
from xpnn.core import backend as backends
from xpnn_benchmarks import ladder
from xpnn_benchmarks.plugin import places

CLOSE, CLOSE_FLOAT32, STEPS = 1e-9, 1e-4, 4


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    networks = ["mlp"] if metafunc.config.getoption("--quick") else list(ladder.NETWORKS)
    rows = [(name, rung) for name in networks for rung in ladder.rungs(name, places(metafunc.config))]
    metafunc.parametrize(("network", "rung"), rows, ids=[f"{name}, {rung.title}" for name, rung in rows])


def differs(network: str, rung: ladder.Rung) -> float:
    """By how much the losses of a few steps are not those on NumPy, in float64: a sample at a time and in batches.

    What is timed, in float32, must be near them too.
    """
    oracle = ladder.Rung("", "numpy", ladder.BATCH, lambda *how: ladder.batches(*how, backends.get("numpy")))
    gaps = []
    for batch in sorted({1, rung.batch}):
        got, want = (ladder.losses_of(r, network, batch, STEPS) for r in (rung, oracle))
        gaps.append(_gap(got, want))
    timed = ladder.losses_of(rung, network, rung.batch, STEPS, "float32")
    assert _gap(timed, want) <= CLOSE_FLOAT32, f"{rung.title}: its losses in float32 differ by {_gap(timed, want):.1e}"
    return max(gaps)


def _gap(got: np.ndarray, want: np.ndarray) -> float:
    return float(np.max(np.abs(got - want) / np.abs(want)))


def test_rung(network: str, rung: ladder.Rung, measure: Callable[..., None], benchmark: Any) -> None:
    gap = differs(network, rung)
    assert gap <= CLOSE, f"{rung.title}: its losses differ by {gap:.1e}"
    x, targets = ladder.data(network, "float32")
    step, batch = rung.make(network, "float32"), rung.batch
    starts = cycle(range(0, len(x), batch))

    def call() -> None:
        i = next(starts)
        step(x[i : i + batch], targets[i : i + batch])

    facts = {"suite": "ladder", "network": network, "title": ladder.NETWORKS[network].title, "rung": rung.title}
    facts |= {"backend": rung.backend, "batch": batch, "loss_gap": gap}
    measure(call, facts["title"], **facts)
    with xpnn.transfers() as seen:
        call()
    benchmark.extra_info["transfers"] = {"to_device": seen.to_device, "to_host": seen.to_host, "waits": seen.waits}
