"""What a run wrote, read and checked: rows of measured times, and what they amount to."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

from xpnn.errors import DataError
from xpnn_benchmarks.machine import UNSTEADY
from xpnn_benchmarks.plugin import SCHEMA

COLD, COLD_S = 3, 0.01
"""A first call takes so many times the median, and so much longer, where something was compiled or loaded in it."""

MANY = 0.25
"""The share of unsteady rows from which on a run is noisy."""


@dataclass(frozen=True)
class Row:
    """A benchmark: its times in seconds, and what it told of itself."""

    name: str
    told: dict[str, Any]
    median: float
    q1: float
    q3: float
    outliers: int
    rounds: int

    @property
    def spread(self) -> float:
        """The distance of the quartiles, relative to the median."""
        return (self.q3 - self.q1) / self.median

    @property
    def unsteady(self) -> bool:
        return self.spread > UNSTEADY

    @property
    def cold(self) -> float | None:
        """The first call, where it is far above the median."""
        first = self.told["first_s"]
        return first if first > COLD * self.median and first > self.median + COLD_S else None


class Achieved(NamedTuple):
    """Rates; what bounds them, "GFLOP/s" or "GB/s"; the share of that ceiling. "" and None where nothing is counted."""

    gflops: float
    gbytes: float
    bound: str
    share: float | None


def rows(data: dict[str, Any], suite: str = "") -> list[Row]:
    """Those of a suite, as they were measured."""
    found = []
    for told in data["benchmarks"]:
        stats, extra = told["stats"], told["extra_info"]
        if suite in ("", extra["suite"]):
            times = (stats["median"], stats["q1"], stats["q3"])
            found.append(Row(told["name"], extra, *times, stats["iqr_outliers"], stats["rounds"]))
    return found


def achieved(row: Row, data: dict[str, Any]) -> Achieved:
    """The roofline: a call takes at least as long as its operations, and as its bytes, take at the ceilings."""
    ceilings = data["xpnn"]["ceilings"][row.told["backend"]]
    flops, nbytes = 1e-9 * row.told["flops"], 1e-9 * row.told["nbytes"]
    least, bound = max((flops / ceilings["gflops"], "GFLOP/s"), (nbytes / ceilings["gbytes"], "GB/s"))
    share = least / row.median if least else None
    return Achieved(flops / row.median, nbytes / row.median, bound if least else "", share)


def noisy(data: dict[str, Any]) -> str:
    """Why the run was noisy, "" where it was not: what the machine was found to be before and after, and the rows
    themselves, since something else may have run only in between. On a quiet machine one in ten of them varies."""
    found = rows(data)
    unsteady = sum(row.unsteady for row in found)
    said = [data["xpnn"]["noise"]["noisy"]]
    if unsteady > MANY * len(found):
        said.append(f"{unsteady} of {len(found)} rows varied by more than {UNSTEADY:.0%} between their quartiles")
    return "; ".join(filter(None, said))


def by_network(data: dict[str, Any]) -> dict[str, list[Row]]:
    """The rungs of each network, from the bottom up."""
    found: dict[str, list[Row]] = {}
    for row in rows(data, "ladder"):
        found.setdefault(row.told["title"], []).append(row)
    return found


def per_sample(rung: Row) -> float:
    return rung.median / rung.told["batch"]


def measured_on(data: dict[str, Any]) -> str:
    """When: pytest-benchmark writes it in UTC."""
    return f"{datetime.fromisoformat(data['datetime']):%Y-%m-%d %H:%M} UTC"


def load(path: Path | str) -> dict[str, Any]:
    """The JSON file of a run.

    DataError where there is none, or one of another program, or of another version of the schema.
    """
    try:
        data = json.loads(Path(path).read_text())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from None
    except ValueError:
        raise DataError(f"{path}: expected the JSON file of `xpnn bench --json`; got something else") from None
    if not isinstance(data, dict) or not isinstance(data.get("xpnn"), dict) or "benchmarks" not in data:
        raise DataError(f"{path}: expected the JSON file of `xpnn bench --json`; got JSON of something else")
    if data["xpnn"].get("schema") != SCHEMA:
        got = data["xpnn"].get("schema")
        raise DataError(f"{path}: expected version {SCHEMA} of the schema; got {got!r}. Measure again with this xpnn")
    missing = [name for name in ("quick", "backends", "machine", "ceilings", "noise") if name not in data["xpnn"]]
    if missing:
        raise DataError(f"{path}: damaged: nothing about {', '.join(missing)}. Measure again")
    try:
        measured_on(data)
        sound = all(isfinite(row.q3) and 0 < row.q1 <= row.median <= row.q3 for row in rows(data))
        sound = sound and data["xpnn"]["noise"]["drift"] > 0
        for row in rows(data, "ops"):
            achieved(row, data)
    except (KeyError, TypeError, ValueError) as error:
        raise DataError(f"{path}: damaged: {type(error).__name__} {error}. Measure again") from None
    if not sound:
        raise DataError(f"{path}: damaged: times that are not positive, or quartiles out of order. Measure again")
    return data
