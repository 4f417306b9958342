"""One side of the race, in a process of its own: it builds a work in every form it knows, keeps the fastest, and runs
it when told to. Between its turns it sleeps, waiting for the next line.

A side is a module with `variants(work, arrays)`: a generator of (name, function that makes a Run or raises), which is
sent how many seconds each took.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

import numpy as np

from xpnn_benchmarks.peers import works

LEAST, GLANCE_S = 2, 0.15


class Run(NamedTuple):
    """run does the work once, or a `times`-th of it; answers are what it computes, by name, in the layouts of xpnn."""

    run: Callable[[], Any]
    answers: works.Arrays
    times: float = 1.0


def turn(run: Callable[[], Any], seconds: float, times: float = 1.0) -> float:
    """The median time of a run, over so many seconds of runs."""
    took: list[float] = []
    end = time.perf_counter() + seconds
    while len(took) < LEAST or time.perf_counter() < end:
        start = time.perf_counter()
        run()
        took.append(time.perf_counter() - start)
    return median(took) * times


def choose(side: Any, name: str, inputs: str, answers: str) -> tuple[Run, dict[str, Any]]:
    """The fastest variant, ready to run; its answers are in a file."""
    with np.load(inputs) as file:
        arrays = dict(file)
    best, tried, failed = None, {}, {}
    generator, seconds = side.variants(works.find(name), arrays), None
    while True:
        try:
            variant, make = generator.send(seconds)
        except StopIteration:
            break
        try:
            made = make()
            made.run()  # compiles
            seconds = tried[variant] = turn(made.run, GLANCE_S, made.times)
        except Exception as error:  # what one variant cannot do is said, and another is measured
            lines = str(error).strip().splitlines() or [type(error).__name__]
            failed[variant], seconds = lines[0][:200], None
            continue
        if best is None or seconds < tried[best[0]]:
            best = variant, made
    if best is None:
        raise RuntimeError("; ".join(f"{variant}: {why}" for variant, why in failed.items()) or "does not know this")
    np.savez(answers, **best[1].answers)
    return best[1], {"variant": best[0], "tried": tried, "failed": failed}


def serve(side: Any) -> None:
    """Answer requests, a line of JSON each, until there are no more."""
    warnings.simplefilter("ignore")
    out, sys.stdout = sys.stdout, sys.stderr  # libraries may print
    made: Run | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if "work" in request:
                made, reply = choose(side, request["work"], request["inputs"], request["answers"])
            else:
                assert made is not None
                reply = {"seconds": turn(made.run, request["seconds"], made.times)}
        except Exception as error:
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), file=out, flush=True)
