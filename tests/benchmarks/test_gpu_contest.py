"""Lanes of the run on a GPU: numbers are compared before times are taken."""

from __future__ import annotations

from itertools import cycle
from types import SimpleNamespace

import numpy as np
import pytest

from xpnn_benchmarks.on_gpu import clock, verdict
from xpnn_benchmarks.on_gpu.contest import Different, Lane, contest, differs


class Steps:
    """A clock on which every step takes what it says."""

    def __init__(self):
        self.now = 0.0

    def mark(self):
        return self.now

    @staticmethod
    def between(first, last):
        return last - first

    def wait(self): ...

    def step(self, *seconds):
        taking = cycle(seconds)

        def run():
            self.now += next(taking)

        return run


@pytest.fixture
def bench():
    told = []
    return SimpleNamespace(clock=Steps(), rounds=2, tell=told.append, told=told)


def lane(bench, answer, seconds=1e-5, works=1.0):
    return lambda: Lane(bench.clock.step(seconds), {"losses": np.array(answer)}, works)


def broken():
    raise RuntimeError("no such algorithm")


def test_lanes(bench):
    makers = {
        "xpnn": lane(bench, [1.0, 2.0], 2e-5),
        "torch none": broken,
        "torch eager": lane(bench, [1.0, 2.0 + 1e-6], 1e-4),
        "torch graph": lane(bench, [1.0, 2.1]),
        "xpnn Trainer.fit": lane(bench, [1.0, 2.0], 3e-4, 10),
    }
    found = contest(bench, makers, 1e-4)
    assert found["checked"] == "torch eager"
    assert found["lanes"]["torch none"] == {"why_not": "RuntimeError: no such algorithm"}
    assert "losses differs by 4.5e-02" in found["lanes"]["torch graph"]["why_not"]
    times = {name: lane["us"] for name, lane in found["lanes"].items() if "us" in lane}
    assert times == pytest.approx({"xpnn": 20, "torch eager": 100, "xpnn Trainer.fit": 30})
    assert set(bench.told[0]["lanes"]) == {"xpnn", "torch none", "torch eager"}
    assert verdict.times(5, "eager").measure(found, {}) == pytest.approx(5)
    assert verdict.at_most(25, "us").measure(found, {}) == pytest.approx(20)
    assert verdict.share(80, 1.0, "copy").measure(found, {"copy": 1e5}) == pytest.approx(50)
    assert verdict.share(80, 1.0, "copy").measure(found, {}) is None


@pytest.mark.parametrize("answer", [[1.0, 2.1], [1.0, np.nan], [1.0]])
def test_other_numbers_are_not_timed(bench, answer):
    with pytest.raises(Different, match=r"losses.*compared with torch eager; not timed"):
        contest(bench, {"xpnn": lane(bench, answer), "torch eager": lane(bench, [1.0, 2.0])}, 1e-4)
    with pytest.raises(Different, match="compared with NumPy"):
        contest(bench, {"xpnn": lane(bench, answer)}, 1e-4, {"losses": np.array([1.0, 2.0])})
    assert bench.clock.now == 0


def test_ours_does_not_prove_ours(bench):
    with pytest.raises(Different, match="nothing to compare"):
        contest(bench, {"xpnn": lane(bench, [1.0]), "torch": broken, "xpnn Trainer.fit": lane(bench, [1.0])}, 1e-4)


def test_differs():
    one = np.array([[1.0, 2.0]])
    assert differs({"y": one}, {"y": one}, 1e-6) == ""
    assert differs({"y": one, "z": one}, {"y": one}, 1e-6) == ""
    assert "expected shape (1, 2); got None" in differs({}, {"y": one}, 1e-6)
    assert differs({"y": 0 * one}, {"y": 0 * one}, 1e-6) == ""


def test_the_median_by_events():
    steps = Steps()
    uneven = (1e-5, 1e-5, 1e-5, 1e-3)  # one in four waits for something
    found = clock.measure({"it": (steps.step(*uneven), 1)}, steps, rounds=2)["it"]
    assert found["us"] == pytest.approx(10)
    assert found["low_us"] == pytest.approx(10)
    assert found["high_us"] > 10


def test_turns_go_forwards_and_backwards():
    assert "".join(clock.in_turns(["a", "b", "c"], 3)) == "abccbaabc"
