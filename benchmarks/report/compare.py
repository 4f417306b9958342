"""What got slower, or faster, from one run to another, beyond what their noise explains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from xpnn_benchmarks.machine import UNSTEADY
from xpnn_benchmarks.report import tables, terminal
from xpnn_benchmarks.report.source import Row, load, measured_on, noisy, rows
from xpnn_benchmarks.report.units import duration, times

TELLING = 1.5
"""Where noise explains more than this, a comparison tells little."""


@dataclass(frozen=True)
class Comparison:
    """Pairs (old, new); `drift` is the time that a product of NumPy's takes, new over old; `explained` the ratios
    (least, most) that noise may cause."""

    slower: list[tuple[Row, Row]]
    faster: list[tuple[Row, Row]]
    alike: int
    only_old: int
    only_new: int
    drift: float
    explained: tuple[float, float]
    warnings: list[str]


def compare(old: dict[str, Any], new: dict[str, Any]) -> Comparison:
    """Rows of one name, by their medians.

    A row is slower where both hold:

    1. Its quartiles are apart, q1(new) > q3(old): else the two runs' own rounds overlap.
    2. median(new) / median(old) > wobble(old) · wobble(new) · max(1, drift).

    wobble is what a run shows of itself with some arithmetic of NumPy's, whose code no change of ours touches: 1 + its
    spread, or as many times as it became slower or faster from start to end, whichever is more; at least 1 + UNSTEADY,
    what a run may show without being called noisy. drift is that product's time in the new run over that in the old,
    each at the geometric mean of start and end: the machine itself. Faster is the same with old and new exchanged.

    So two steady runs tell changes by more than 1.21 times from noise, and noisy ones only larger changes.
    """
    before, after = ({row.name: row for row in rows(data)} for data in (old, new))
    drift = _product(new) / _product(old)
    noise = _wobble(old) * _wobble(new)
    least, most = min(1.0, drift) / noise, max(1.0, drift) * noise
    pairs = [(row, after[name]) for name, row in before.items() if name in after]
    slower = [(o, n) for o, n in pairs if n.q1 > o.q3 and n.median > most * o.median]
    faster = [(o, n) for o, n in pairs if n.q3 < o.q1 and n.median < least * o.median]
    return Comparison(
        sorted(slower, key=_ratio, reverse=True),
        sorted(faster, key=_ratio),
        len(pairs) - len(slower) - len(faster),
        len(before) - len(pairs),
        len(after) - len(pairs),
        drift,
        (least, most),
        _warnings(old, new),
    )


def _ratio(pair: tuple[Row, Row]) -> float:
    return pair[1].median / pair[0].median


def _wobble(data: dict[str, Any]) -> float:
    noise = data["xpnn"]["noise"]
    return max(1 + UNSTEADY, 1 + noise["spread"], noise["drift"], 1 / noise["drift"])


def _product(data: dict[str, Any]) -> float:
    noise = data["xpnn"]["noise"]
    return (noise["before"]["median_s"] * noise["after"]["median_s"]) ** 0.5


def _warnings(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """What makes the two runs less comparable, a line each."""
    a, b = old["xpnn"], new["xpnn"]
    here, there = a["machine"], b["machine"]
    pairs = [(name, here[name], there[name]) for name in ("cpu", "gpu", "system", "python")]
    for kind, suffix in (("versions", ""), ("threads", " threads")):
        names = sorted({*here[kind], *there[kind]})
        pairs += [(f"{name}{suffix}", here[kind].get(name), there[kind].get(name)) for name in names]
    kinds = {True: "quick", False: "full"}
    pairs.append(("run", kinds[a["quick"]], kinds[b["quick"]]))
    said = [f"different {name}: {_told(x)} in the old run, {_told(y)} in the new one" for name, x, y in pairs if x != y]
    for name, data in (("old", old), ("new", new)):
        said += [f"the {name} run was {tables.verdict(data)}"] if noisy(data) else []
        said += [f"the {name} run: {line}" for line in tables.incomplete(data)]
    return said


def _told(value: Any) -> Any:
    return ", ".join(value.values()) or "none" if isinstance(value, dict) else "none" if value is None else value


def show(old_path: Path | str, new_path: Path | str, console: Console) -> bool:
    """Print the comparison of two files of `xpnn bench --json`; True where something got slower, and could be told.

    DataError where one of them is not such a file.
    """
    old, new = load(old_path), load(new_path)
    found = compare(old, new)
    for name, path, data in (("old", old_path, old), ("new", new_path, new)):
        console.print(Text(f"{name}: {path}, measured on {measured_on(data)}"))
    for line in found.warnings:
        console.print(Text(f"warning: {line}", style="yellow"))
    least, most = found.explained
    said = f"NumPy's arithmetic took {times(found.drift)} the time; noise explains from {times(least)} to {times(most)}"
    untold = most > TELLING * max(1, found.drift) or bool(noisy(old) or noisy(new))
    console.print(Text(said + (": too noisy to tell, measure again" if untold else "")), "")
    for title, pairs in (("Slower", found.slower), ("Faster", found.faster)):
        if pairs:
            cells = [(_name(o), duration(o.median), duration(n.median), times(_ratio((o, n)))) for o, n in pairs]
            terminal.draw(tables.Table(title, ("row", "old", "new", "time"), cells), console)
    counts = f"{len(found.slower)} slower, {len(found.faster)} faster, {found.alike} within the noise"
    for count, run in ((found.only_old, "old"), (found.only_new, "new")):
        counts += f", {count} only in the {run} run" if count else ""
    console.print(Text(counts, style="bold"))
    return bool(found.slower) and not untold


def _name(row: Row) -> str:
    """
    >>> _name(Row("test_op[numba, relu 1024x1024, forward]", {"suite": "ops"}, 1, 1, 1, 0, 5))
    'ops: numba, relu 1024x1024, forward'
    """
    return f"{row.told['suite']}: {row.name.partition('[')[2].removesuffix(']')}"
