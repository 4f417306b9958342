"""Times on a GPU: by events, step by step, and by the wall over many steps that are only waited for at the end.

An event is a mark in the stream that all sides use, the legacy one: what was asked for before it is done when it is
reached. The time between the marks before and after a step is thus what a training takes for it, the host's part
included where the host is slower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from statistics import median, quantiles
from time import perf_counter
from typing import Any, Protocol

TURN_S, MOST = 0.08, 1000


class Clock(Protocol):
    def mark(self) -> Any: ...
    def between(self, first: Any, last: Any) -> float:
        """Seconds; both are done."""

    def wait(self) -> None: ...


class Events:
    """Those of a GPU."""

    def __init__(self, place: Any) -> None:
        self.cuda = place.cupy.cuda
        self.stream, self.gpu = self.cuda.Stream.null, place.gpu

    def mark(self) -> Any:
        event = self.cuda.Event()
        event.record(self.stream)
        return event

    def between(self, first: Any, last: Any) -> float:
        return 1e-3 * self.cuda.get_elapsed_time(first, last)

    def wait(self) -> None:
        self.gpu.synchronize()


def turn(step: Callable[[], Any], steps: int, clock: Clock) -> tuple[list[float], float]:
    """(seconds of each step by marks, seconds of a step by the wall, without marks in between)."""
    marks = [clock.mark()]
    for _ in range(steps):
        step()
        marks.append(clock.mark())
    clock.wait()
    each = [clock.between(a, b) for a, b in pairwise(marks)]
    start = perf_counter()
    for _ in range(steps):
        step()
    clock.wait()
    return each, (perf_counter() - start) / steps


def fitting(step: Callable[[], Any], clock: Clock, seconds: float) -> int:
    """How many steps a turn has; what compiles or is recorded has done so afterwards."""
    for _ in range(4):
        step()
    clock.wait()
    steps = 1
    while True:
        start = perf_counter()
        for _ in range(steps):
            step()
        clock.wait()
        took = perf_counter() - start
        if took > seconds / 8 or steps >= MOST:
            return max(1, min(MOST, round(steps * seconds / max(took, 1e-9))))
        steps *= 2


def measure(
    steps: dict[str, tuple[Callable[[], Any], float]], clock: Clock, rounds: int, seconds: float = TURN_S
) -> dict[str, dict[str, float]]:
    """{name: {"us", "low_us", "high_us", "wall_us", "steps"}} of {name: (step, so many works it does)}, in turns.

    us       median over all steps, by events; low and high are the quartiles
    wall_us  median over the turns
    """
    counts = {name: fitting(step, clock, seconds) for name, (step, _) in steps.items()}
    each: dict[str, list[float]] = {name: [] for name in steps}
    walls: dict[str, list[float]] = {name: [] for name in steps}
    for name in in_turns(list(steps), rounds):
        marked, wall = turn(steps[name][0], counts[name], clock)
        each[name] += marked
        walls[name].append(wall)
    found = {}
    for name, (_, works) in steps.items():
        took = each[name] if len(each[name]) > 1 else each[name] * 2
        low, _, high = quantiles(took, n=4)
        us = 1e6 / works
        found[name] = {
            "us": median(took) * us,
            "low_us": low * us,
            "high_us": high * us,
            "wall_us": median(walls[name]) * us,
            "steps": len(each[name]),
        }
    return found


def in_turns(names: list[str], rounds: int) -> Iterator[str]:
    """Each of them in every round, forwards and backwards by turns: a drift of the machine reaches all alike."""
    for i in range(rounds):
        yield from names if i % 2 == 0 else reversed(names)
