"""From times to the sentence that a user wants."""

from __future__ import annotations

import pytest

from xpnn_benchmarks import crossover

BATCHES = (1, 4, 16, 64)


def line(fixed, each):
    return {batch: fixed + each * batch for batch in BATCHES}


def test_one_wins_everywhere():
    said = crossover.verdict({"numpy": line(2, 2), "numba": line(1, 1)})
    assert said == "use numba at every batch size from 1 to 64"


def test_two_meet_between_two_sizes():
    steep, flat = {b: 1.0 * b for b in BATCHES}, dict.fromkeys(BATCHES, 8.0)  # they meet at 8
    assert crossover.verdict({"numba": steep, "cupy": flat}) == "below batch 8 use numba, above it cupy"


def test_three_in_a_row():
    times = {
        "numpy": {1: 1, 4: 5, 16: 50, 64: 500},
        "numba": {1: 2, 4: 3, 16: 9, 64: 36},
        "cupy": {1: 9, 4: 9, 16: 9.5, 64: 10},
    }
    said = crossover.verdict(times)
    assert said.startswith("below batch 2 use numpy, from 2 to 17 numba, above 17 cupy")


def test_only_sizes_that_all_were_measured_at_count():
    assert "from 1 to 4" in crossover.verdict({"numpy": {1: 1.0, 4: 1.0, 16: 0.1}, "numba": {1: 0.5, 4: 0.5}})


def test_the_order_weighs_all_works_alike():
    times = {"long": {"numpy": {64: 10.0}, "numba": {64: 9.0}}, "short": {"numpy": {64: 1e-5}, "numba": {64: 2e-5}}}
    assert crossover.order_at(times, 64) == ["numpy", "numba"]


def test_what_a_run_wrote_is_found():
    row = {"extra_info": {"suite": "crossover", "title": "t", "backend": "numpy", "batch": 4}, "stats": {"median": 0.5}}
    assert crossover.tabulate([row, {"extra_info": {"suite": "ops"}}]) == {"t": {"numpy": {4: 0.5}}}


@pytest.mark.parametrize("work", crossover.WORKS)
def test_a_step_runs(work):
    from xpnn.core import backend

    for name in ("numpy", "numba"):
        call = crossover.step(crossover.WORKS[work], 2, backend.get(name))
        for _ in range(3):
            call()
