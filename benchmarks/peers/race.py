"""The race: the sides in processes of their own, in turn, so that thread pools do not meet and a drift of the machine
reaches all alike. The numbers of a side are compared with ours before it is timed.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from xpnn_benchmarks.peers.works import Work

TURN_S, PAUSE_S = 0.25, 0.02


class Side:
    """A process that does works: the module `with_<name>`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        command, pipe = [sys.executable, "-m", f"xpnn_benchmarks.peers.with_{name}"], subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, text=True)

    def ask(self, **request: Any) -> dict[str, Any]:
        """The answer to a request; {"error": ...} where there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if line:
            return json.loads(line)
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or ["the process ended"]
        return {"error": lines[-1]}

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


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
        for _ in range(rounds if not lanes[0].why_not else 0):
            for side, lane in zip(sides, lanes, strict=True):
                if not lane.why_not:
                    time.sleep(PAUSE_S)
                    lane.seconds.append(side.ask(seconds=TURN_S)["seconds"])
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
