"""Batch sizes from 1 to 4096 on every backend: below which one is one backend the faster, above which another?"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from xpnn.core.contract import Backend
from xpnn_benchmarks import crossover
from xpnn_benchmarks.plugin import places


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    quick = metafunc.config.getoption("--quick")
    batches = crossover.BATCHES[:: 3 if quick else 1]
    rows = [(work, batch, place) for work in crossover.WORKS for batch in batches for place in places(metafunc.config)]
    metafunc.parametrize(("work", "batch", "place"), rows, ids=[f"{p.device}, {w}, {b}" for w, b, p in rows])


def test_batch(work: str, batch: int, place: Backend, measure: Callable[..., None]) -> None:
    layer = crossover.WORKS[work]
    call = crossover.step(layer, batch, place)
    facts = {"suite": "crossover", "title": layer.title, "batch": batch, "backend": place.device}
    measure(call, f"{layer.title}, batch {batch}", **facts)
