"""At which batch size does which backend win? Works of one layer, forward and backward, of any batch size."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from math import exp, log
from typing import Any, NamedTuple

import numpy as np

import xpnn
from xpnn import nn, ops
from xpnn.core.contract import Backend

BATCHES = tuple(4**k for k in range(7))  # 1 to 4096
USUAL = 64
Times = dict[str, dict[str, dict[int, float]]]
"""{work: {backend: {batch: median seconds}}}."""


class Layer(NamedTuple):
    """title, the layer, and the shape of one sample."""

    title: str
    build: Callable[[], Callable[[Any], Any]]
    sample: tuple[int, ...]


WORKS = {
    "dense": Layer("dense with ReLU, 784 to 300", partial(nn.Dense, 784, 300, activation="relu"), (784,)),
    "conv": Layer("convolution 3x3, 8 to 16 channels, 14x14", partial(nn.Conv2d, 8, 16, 3, padding=1), (14, 14, 8)),
    "softmax": Layer("softmax over 100 classes", lambda: ops.softmax, (100,)),
    "lstm": Layer("LSTM, 28 steps of 28, 64 units", partial(nn.LSTM, 28, 64), (28, 28)),
}


def step(work: Layer, batch: int, place: Backend) -> Callable[[], None]:
    """Forward and backward of a batch that comes from the host, as it is recorded where steps are recorded."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch, *work.sample)).astype(np.float32)
    with xpnn.use("numpy"):
        shape = work.build()(xpnn.tensor(x)).shape
    with xpnn.use(place):
        layer = work.build()
        dy = xpnn.tensor(rng.standard_normal(shape).astype(np.float32))
        weights = list(layer.parameters()) if isinstance(layer, nn.Module) else []

    def run(x: Any) -> None:
        for weight in weights:
            weight.zero_grad()
        layer(x).backward(dy)

    recorded = xpnn.capture(run)

    def call() -> None:
        recorded(xpnn.tensor(x, backend=place, requires_grad=not weights))
        place.synchronize()

    return call


def verdict(times: dict[str, dict[int, float]]) -> str:
    """The sentence a user wants, from {backend: {batch: seconds}}: which to use below and above which batch."""
    batches = sorted(set.intersection(*[set(by_batch) for by_batch in times.values()]))
    winners = [min(times, key=lambda name: times[name][batch]) for batch in batches]
    said = []
    for i, winner in enumerate(winners):
        if i == 0:
            said.append((1, winner))
        elif winner != winners[i - 1]:
            said.append((_meeting(times[winners[i - 1]], times[winner], batches[i - 1], batches[i]), winner))
    if len(said) == 1:
        return f"use {said[0][1]} at every batch size from {batches[0]} to {batches[-1]}"
    parts = [f"below batch {said[1][0]} use {said[0][1]}"]
    for (start, winner), (end, _) in pairwise(said[1:]):
        parts.append(f"from {start} to {end} {winner}")
    return ", ".join([*parts, f"above it {said[-1][1]}" if len(said) == 2 else f"above {said[-1][0]} {said[-1][1]}"])


def _meeting(old: dict[int, float], new: dict[int, float], low: int, high: int) -> int:
    """Where two lines through the measured points meet, both axes logarithmic."""
    at_low, at_high = (log(new[batch] / old[batch]) for batch in (low, high))
    share = at_low / (at_low - at_high) if at_low != at_high else 1.0
    return _about(exp(log(low) + share * log(high / low)))


def _about(batch: float) -> int:
    """Two digits: between two measured sizes, more would be invented."""
    return int(float(f"{batch:.2g}"))


def order_at(times: Times, batch: int) -> list[str]:
    """The backends by the time that their works take at a batch size, as a geometric mean, the fastest first."""
    names = set.intersection(*[set(by_place) for by_place in times.values()])
    return sorted(names, key=lambda name: sum(log(by_place[name][batch]) for by_place in times.values()))


def tabulate(benchmarks: Sequence[dict[str, Any]]) -> Times:
    """What a run wrote."""
    table: Times = {}
    for row in benchmarks:
        told = row["extra_info"]
        if told["suite"] == "crossover":
            by_batch = table.setdefault(told["title"], {}).setdefault(told["backend"], {})
            by_batch[told["batch"]] = row["stats"]["median"]
    return table
