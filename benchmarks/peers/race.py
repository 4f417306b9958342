"""The race: the sides in processes of their own (`xpnn_benchmarks.processes`: equal threads), in turn, so that thread
pools do not meet and a drift of the machine reaches all alike. The numbers of a side are compared with ours before it
is timed.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xpnn_benchmarks.peers.works import Work
from xpnn_benchmarks.processes import Child, Ended

TURN_S, PAUSE_S = 0.25, 0.02
PEERS = {
    "torch": ("torch",),
    "jax": ("jax",),
    "keras": ("keras", "jax"),
    "keras_torch": ("keras", "torch"),
    "sklearn": ("sklearn",),
    "tinygrad": ("tinygrad",),
    "numpy": (),
    "objects": (),
}
"""Every side but ours, and what must be installed for it."""


class Side:
    """A process that does works: the module `with_<name>`. None is started where its library is not installed."""

    def __init__(self, name: str) -> None:
        self.name = name
        absent = [library for library in PEERS.get(name, ()) if importlib.util.find_spec(library) is None]
        self.absent = f"{' and '.join(absent)} not installed" if absent else ""
        self._child = None if absent else Child("-m", f"xpnn_benchmarks.peers.with_{name}")

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request; {"error": ...} where there is none."""
        if self._child is None:
            return {"error": self.absent}
        try:
            return json.loads(self._child.ask(json.dumps(request)))
        except Ended as ended:
            return {"error": str(ended)}

    def __enter__(self) -> Side:
        return self

    def __exit__(self, *error: Any) -> None:
        if self._child is not None:
            self._child.__exit__(*error)


@dataclass
class Lane:
    """What one side did: its fastest variant and the seconds of its turns, or why there are none."""

    side: str
    variant: str = ""
    seconds: list[float] = field(default_factory=list)
    why_not: str = ""
    tried: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)


def race(work: Work, sides: Sequence[Side], rounds: int) -> list[Lane]:
    """A lane for each side; the first side is ours, and the others' answers must be as its own."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = str(Path(folder) / "inputs.npz")
        np.savez(inputs, **work.inputs())
        lanes, ours = [], {}
        for side in sides:
            answers = str(Path(folder) / f"{side.name}.npz")
            reply = side.ask(work=work.name, inputs=inputs, answers=answers)
            lane = Lane(side.name, why_not=reply.pop("error", ""), **reply)
            lanes.append(lane)
            if lane.why_not:
                continue
            with np.load(answers) as file:
                found = dict(file)
            if side is sides[0]:
                ours = found
            lane.why_not = differs(work, ours, found)
        for _ in range(rounds):
            for side, lane in zip(sides, lanes, strict=True):
                if lane.why_not or lanes[0].why_not:
                    continue
                time.sleep(PAUSE_S)
                reply = side.ask(seconds=TURN_S)
                lane.why_not = reply.get("error", "")
                if not lane.why_not:
                    lane.seconds.append(reply["seconds"])
    return lanes


def differs(work: Work, ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> str:
    """What differs by more than `work.close` of its largest value; "" for nothing."""
    for name, got in theirs.items():
        want = ours.get(name)
        if want is None or want.shape != got.shape:
            return f"{name}: shape {got.shape}, ours {None if want is None else want.shape}"
        gap, size = float(abs(got - want).max()), float(abs(want).max())
        if not gap <= work.close * size:
            return f"{name} differs from ours by {gap / size:.1e} of its largest value"
    return ""
