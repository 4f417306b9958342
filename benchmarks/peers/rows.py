"""The comparison as plain data: a row for every work, from a race of xpnn with its peers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from statistics import median
from typing import Any

from xpnn.errors import ConfigError
from xpnn_benchmarks.peers.race import PEERS, Lane, Side, race
from xpnn_benchmarks.peers.works import WORKS, Work

Row = dict[str, Any]


def run(
    names: Sequence[str],
    rounds: int = 5,
    only: str = "",
    on_row: Callable[[Row], Any] = lambda row: None,
    ceilings: dict[str, float] | None = None,
) -> list[Row]:
    """Race the peers of these names, on the works whose name matches a regular expression.

    on_row    is given every row when it is done, so that an interruption, which ends the processes, loses one work
    ceilings  of the machine; measured before where they are not given

    ConfigError for a name that is none, and an expression that matches no work.
    """
    unknown = [name for name in names if name not in PEERS]
    if unknown:
        raise ConfigError(f"peers: expected some of {', '.join(PEERS)}; got {', '.join(unknown)}")
    works = [work for work in WORKS if re.search(only, work.name)]
    if not works:
        all_of_them = "; ".join(work.name for work in WORKS)
        raise ConfigError(f"peers: expected part of the name of a work; got {only!r}. They are: {all_of_them}")
    ceilings, rows = ceilings or measured_ceilings(), []
    with ExitStack() as running:
        sides = [running.enter_context(Side(name)) for name in ("xpnn", *names)]
        for work in works:
            rows.append(row(work, race(work, sides, rounds), ceilings))
            on_row(rows[-1])
    return rows


def measured_ceilings() -> dict[str, float]:
    """In a process of its own: its threads would meet those of the sides."""
    command = [sys.executable, "-m", "xpnn_benchmarks.ceiling"]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def row(work: Work, lanes: list[Lane], ceilings: dict[str, float]) -> Row:
    """Everything that was found out about a work."""
    ours = lanes[0]
    found: Row = {"work": work.name, "lanes": [vars(lane) for lane in lanes], "peers": {}}
    if ours.why_not or not ours.seconds:
        return found
    found["ms"] = 1e3 * median(ours.seconds) * work.parts
    found["extrapolated"] = work.parts != 1
    for unit, amount in (("gflops", work.flops), ("gbytes", work.nbytes)):
        if amount:
            rate = 1e-9 * amount / (1e-3 * found["ms"])
            found |= {"unit": unit, "rate": rate, "of_ceiling": rate / ceilings[unit]}
    for lane in lanes[1:]:
        if not lane.why_not:
            ratios = [theirs / mine for theirs, mine in zip(lane.seconds, ours.seconds, strict=True)]
            found["peers"][lane.side] = {
                "ms": 1e3 * median(lane.seconds) * work.parts,
                "ratio": median(ratios),
                "least": min(ratios),
                "most": max(ratios),
            }
    return found
