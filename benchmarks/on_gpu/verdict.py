"""What must hold beside what was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

Found = dict[str, Any]


class Must(NamedTuple):
    """what, its limit (None: it is only told), the unit, whether less is better; measure(what a row found, ceilings)
    gives the number, or None."""

    what: str
    limit: float | None
    unit: str
    at_most: bool
    measure: Callable[[Found, dict[str, float]], float | None]


def judge(must: Must, measured: float | None) -> Found:
    """{"what", "limit", "unit", "measured", "verdict"}: PASS, short and by how much, or not measured.

    >>> judge(at_most(25, "us"), 30)["verdict"]
    'short by 20 %'
    >>> judge(times(5, "eager"), 4)["verdict"]
    'short by 20 %'
    >>> judge(times(5, "eager"), 5)["verdict"], judge(times(5, "eager"), None)["verdict"]
    ('PASS', 'not measured')
    """
    found = {name: value for name, value in must._asdict().items() if name != "measure"} | {"measured": measured}
    if measured is None or measured != measured:
        return {**found, "verdict": "not measured"}
    if must.limit is None:
        return {**found, "verdict": ""}
    over = 100 * (measured / must.limit - 1 if must.at_most else 1 - measured / must.limit)
    return {**found, "verdict": "PASS" if over <= 0 else f"short by {over:.0f} %" if over >= 1 else "short by < 1 %"}


def judged(found: Found, musts: Sequence[Must], ceilings: dict[str, float]) -> Found:
    """What a row found, with its verdicts."""
    return {**found, "musts": [judge(must, must.measure(found, ceilings)) for must in musts]}


def fastest(found: Found, *kinds: str) -> float | None:
    """us of the fastest lane whose name begins with one of these (see contest.py)."""
    lanes = found.get("lanes", {})
    return min((lane["us"] for name, lane in lanes.items() if name.startswith(kinds) and "us" in lane), default=None)


def at_most(limit: float, unit: str) -> Must:
    """Of our step, in us or ms."""
    scale = {"us": 1.0, "ms": 1e-3}[unit]

    def measure(found: Found, ceilings: dict[str, float]) -> float | None:
        us = fastest(found, "xpnn")
        return None if us is None else us * scale

    return Must("step", limit, unit, True, measure)


def times(limit: float, *kinds: str) -> Must:
    """So many times as fast as the fastest of PyTorch's lanes of these kinds."""

    def measure(found: Found, ceilings: dict[str, float]) -> float | None:
        ours, theirs = fastest(found, "xpnn"), fastest(found, *[f"torch {kind}" for kind in kinds])
        return None if ours is None or theirs is None else theirs / ours

    return Must(f"times torch {' or '.join(kinds)}", limit, "x", False, measure)


def share(limit: float | None, amount: float, ceiling: str) -> Must:
    """Per cent of a measured ceiling, which is in `amount` a second: "copy" in bytes, products in operations."""

    def measure(found: Found, ceilings: dict[str, float]) -> float | None:
        us, most = fastest(found, "xpnn"), ceilings.get(ceiling)
        return None if us is None or not most else 100 * amount / (1e-6 * us) / most

    return Must(f"of the ceiling, {ceiling}", limit, "%", False, measure)


def reported(limit: float, what: str, unit: str, key: str) -> Must:
    """A number that the row itself gives."""
    return Must(what, limit, unit, True, lambda found, ceilings: found.get(key))
