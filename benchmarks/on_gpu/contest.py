"""Ours beside others: a lane each. Numbers are compared before anything is timed, and times are taken in turns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpnn_benchmarks.on_gpu.clock import measure
from xpnn_benchmarks.on_gpu.isolation import one_line

GLANCE = 2
"""Rounds of the look at ours and the first peer before the others are built, which may take long to compile."""


class Lane(NamedTuple):
    """A step to be timed, what it computed by name, and how many works a step does."""

    step: Callable[[], Any]
    answers: dict[str, np.ndarray]
    works: float = 1.0


Makers = dict[str, Callable[[], Lane]]


class Different(Exception):
    """Numbers that are not what they should be: they are not timed."""


def differs(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray], close: float) -> str:
    """What is not the same within `close`, relative to its size as a whole; "" for nothing. NaN is never the same."""
    for name, want in theirs.items():
        got = ours.get(name)
        if got is None or got.shape != want.shape:
            return f"{name}: expected shape {want.shape}; got {None if got is None else got.shape}"
        a, b = got.astype(np.float64), want.astype(np.float64)
        gap, size = float(np.linalg.norm((a - b).ravel())), float(np.linalg.norm(b.ravel()))
        if not gap <= close * size:
            return f"{name} differs by {gap / size if size else gap:.1e} of its size, more than {close:.0e}"
    return ""


def contest(bench: Any, makers: Makers, close: float, oracle: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
    """{"lanes": {name: times, or {"why_not"}}, "checked": against what}. The first maker is ours.

    oracle: what ours must give; without it, what the first peer that works gives. Ours that differs from it is an
    error, and nothing is timed; of others that differ it is said. Other lanes of ours prove nothing about the first.
    """
    (first, *others), lanes, why_not = makers, {}, {}
    ours, answers, checked = makers[first](), oracle, "NumPy"
    lanes[first] = ours
    if answers is not None:
        _need_same(ours, answers, close, checked)
    for name in others:
        try:
            lane = makers[name]()
            if answers is None and not name.startswith(first):
                answers, checked = lane.answers, name
                _need_same(ours, answers, close, checked)
            wrong = differs(lane.answers, ours.answers if answers is None else answers, close)
        except Different:
            raise
        except Exception as error:  # what one of them cannot do is said, and the others are measured
            wrong = one_line(error)
        if wrong:
            why_not[name] = wrong
            continue
        lanes[name] = lane
        if len(lanes) == 2 and answers is not None:
            bench.tell(_found(bench, lanes, why_not, checked, GLANCE))
    if answers is None:
        raise Different("nothing to compare its numbers with: " + "; ".join(f"{k}: {v}" for k, v in why_not.items()))
    return _found(bench, lanes, why_not, checked, bench.rounds)


def _need_same(ours: Lane, answers: dict[str, np.ndarray], close: float, whose: str) -> None:
    wrong = differs(ours.answers, answers, close)
    if wrong:
        raise Different(f"{wrong}, compared with {whose}; not timed")


def _found(bench: Any, lanes: dict[str, Lane], why_not: dict[str, str], checked: str, rounds: int) -> dict[str, Any]:
    times: dict[str, Any] = measure({n: (lane.step, lane.works) for n, lane in lanes.items()}, bench.clock, rounds)
    left = {name: {"why_not": why} for name, why in why_not.items()}
    return {"lanes": {**times, **left}, "checked": checked}
