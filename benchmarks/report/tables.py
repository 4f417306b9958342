"""The tables of a report, as text: the terminal and the page show the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from xpnn_benchmarks import crossover
from xpnn_benchmarks.report.source import Row, achieved, by_network, measured_on, noisy, per_sample, rows
from xpnn_benchmarks.report.units import duration, number, percent, times

EPOCH = 60_000


class Strong(str):
    """A cell that stands out."""


@dataclass(frozen=True)
class Table:
    """`text` of the first columns are words, the others numbers; notes go below. Where there is no room for all of
    them, columns of `spare` are left out, the first of them first."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, ...]]
    text: int = 1
    notes: list[str] = field(default_factory=list)
    spare: tuple[str, ...] = ()


def verdict(data: dict[str, Any]) -> str:
    """Of the machine's noise, in one line."""
    why = noisy(data)
    return f"noisy: {why}" if why else "steady: the same work took the same time at the start and at the end"


def incomplete(data: dict[str, Any]) -> list[str]:
    """What is missing, and why."""
    about = data["xpnn"]
    said = ["interrupted: what follows was measured before"] if about.get("interrupted") else []
    return said + [f"failed: {name}: {why}" for name, why in about.get("failed", {}).items()]


def machine(data: dict[str, Any]) -> list[tuple[str, str]]:
    """What the numbers depend on."""
    about = data["xpnn"]
    here, noise = about["machine"], about["noise"]
    facts = [("measured", measured_on(data) + (", quickly: fewer rows, fewer rounds" if about["quick"] else ""))]
    facts.append(("CPU", f"{here['cpu']}, {here['cpus']} CPUs, {here['memory_gb']} GB, {here['system']}"))
    facts += [("GPU", f"{name} ({device})") for device, name in here["gpu"].items()]
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    facts.append(("versions", f"Python {here['python']}, {versions}"))
    threads = ", ".join(f"{name} {'?' if count is None else count}" for name, count in here["threads"].items())
    facts.append(("threads", f"{threads}; load before the run {here['load']}"))
    shared: dict[str, list[str]] = {}
    for name, best in about["ceilings"].items():
        said = f"{number(best['gflops'])} GFLOP/s in a large product, {number(best['gbytes'])} GB/s in a large copy"
        shared.setdefault(said, []).append(name)
    facts += [("ceiling", f"{said} ({', '.join(names)})") for said, names in shared.items()]
    said = f"the same work varied by {percent(noise['spread'])}, and at the end took {times(noise['drift'])} the time"
    facts.append(("noise", said))
    return facts


def spread(row: Row) -> str:
    return f"{'~' if row.unsteady else ''}{percent(row.spread)}"


def outliers(row: Row) -> str:
    return f"{row.outliers}/{row.rounds}"


def transfers(seen: dict[str, int]) -> str:
    """
    >>> transfers({"to_device": 2, "to_host": 0, "waits": 1})
    'to device 2, waits 1'
    """
    return ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in seen.items() if count)


def ladder(data: dict[str, Any]) -> Iterator[Table]:
    """One for each network."""
    columns = ("rung", "a sample", "speed-up", f"epoch of {EPOCH:,}", "spread", "outliers", "loss gap", "transfers")
    for title, rungs in by_network(data).items():
        first = per_sample(rungs[0])
        cells = [
            (
                rung.told["rung"],
                duration(per_sample(rung)),
                Strong(times(first / per_sample(rung))),
                f"≈ {duration(EPOCH * per_sample(rung))}",
                spread(rung),
                outliers(rung),
                f"{rung.told['loss_gap']:.0e}",
                transfers(rung.told["transfers"]),
            )
            for rung in rungs
        ]
        keep = len(columns) if any(row[-1] for row in cells) else len(columns) - 1
        yield Table(title, columns[:keep], [row[:keep] for row in cells], spare=("outliers", "spread"))


LADDER_NOTES = (
    f"Every step brings its samples from the host. ≈ extrapolated from the steps that were timed: no epoch of "
    f"{EPOCH:,} was run. Loss gap: to xpnn on NumPy in float64, before anything was timed."
)
OPS_NOTES = (
    "Spread: between the quartiles, relative to the median; ~ above 10 %. Ceiling: of what bounds the op, its "
    "operations or its bytes; above 100 % where the data stay in a cache, or where fewer operations do than the "
    "formula has (Winograd's convolution). Cold: the first call, where it is far above the median."
)


def _ops(data: dict[str, Any]) -> dict[tuple[str, str], list[Row]]:
    """The rows of an op's case and phase: one for each backend."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows(data, "ops"):
        found.setdefault((row.told["title"], row.told["phase"]), []).append(row)
    return found


def _facts(row: Row, data: dict[str, Any]) -> tuple[str, ...]:
    """spread, outliers, GFLOP/s, GB/s, of ceiling"""
    got = achieved(row, data)
    rates = (number(got.gflops) if got.gflops else "", number(got.gbytes) if got.gbytes else "")
    return spread(row), outliers(row), *rates, "" if got.share is None else percent(got.share)


def fastest_ops(data: dict[str, Any]) -> Table:
    """A line for each case and phase: every backend's median, and the facts of the fastest."""
    backends = data["xpnn"]["backends"]
    facts = ("its spread", "outliers", "GFLOP/s", "GB/s", "of ceiling")
    cells = []
    for (title, phase), found in _ops(data).items():
        best = min(found, key=lambda row: row.median)
        by_name = {row.told["backend"]: f"{'~' if row.unsteady else ''}{duration(row.median)}" for row in found}
        by_name[best.told["backend"]] = Strong(by_name[best.told["backend"]])
        cold = ", ".join(f"{row.told['backend']} {duration(row.cold)}" for row in found if row.cold)
        cells.append((title, phase, *[by_name.get(name, "-") for name in backends], *_facts(best, data), cold))
    columns, spare = ("op", "phase", *backends, *facts, "cold"), ("GB/s", "GFLOP/s", "outliers", "cold", "its spread")
    return Table("Operations: median times", columns, cells, text=2, notes=[OPS_NOTES], spare=spare)


def all_ops(data: dict[str, Any]) -> Table:
    """A line for each backend."""
    columns = ("op", "phase", "backend", "median", "spread", "outliers", "GFLOP/s", "GB/s", "of ceiling", "cold")
    cells = []
    for (title, phase), found in _ops(data).items():
        best = min(found, key=lambda row: row.median)
        for row in found:
            median = duration(row.median)
            cold = duration(row.cold) if row.cold else ""
            shown = Strong(median) if row is best and len(found) > 1 else median
            cells.append((title, phase, row.told["backend"], shown, *_facts(row, data), cold))
    return Table("Operations: every backend", columns, cells, text=3, notes=[OPS_NOTES])


def batches(data: dict[str, Any]) -> Table:
    """Times at each batch size."""
    found = crossover.tabulate(data["benchmarks"])
    sizes = sorted({batch for work in found.values() for by_batch in work.values() for batch in by_batch})
    cells = []
    for work, by_place in found.items():
        best = {size: min(t.get(size, float("inf")) for t in by_place.values()) for size in sizes}
        for name, took in by_place.items():
            shown = [duration(took[size]) if size in took else "-" for size in sizes]
            several = len(by_place) > 1
            marked = [Strong(s) if several and took.get(n) == best[n] else s for n, s in zip(sizes, shown, strict=True)]
            cells.append((work, name, *marked))
    columns = ("layer, forward and backward", "backend", *[f"batch {sizes[0]}", *map(str, sizes[1:])]) if sizes else ()
    return Table("Crossover: median times by batch size", columns, cells, text=2)


def advices(data: dict[str, Any]) -> list[str]:
    """For each work the sentence that a user wants; one for all where the run was too noisy to say."""
    if noisy(data):
        return ["Which backend from which batch size on? This run was too noisy to say: measure again."]
    return [f"{work}: {advice(by_place)}" for work, by_place in crossover.tabulate(data["benchmarks"]).items()]


def advice(by_place: dict[str, dict[int, float]]) -> str:
    if len(by_place) == 1:
        return f"only {next(iter(by_place))} was measured"
    if not set.intersection(*[set(by_batch) for by_batch in by_place.values()]):
        return "no batch size was measured on every backend"
    return crossover.verdict(by_place)


def peers(data: dict[str, Any]) -> Table:
    """How many times as long each peer takes as xpnn."""
    found = data["xpnn"].get("peers", [])
    names = list(dict.fromkeys(lane["side"] for row in found for lane in row["lanes"][1:]))
    cells = []
    for row in found:
        ratios = [_with_range(row["peers"][name], "ratio") if name in row["peers"] else "-" for name in names]
        rate = f"{number(row['rate'])} {'GFLOP/s' if row['unit'] == 'gflops' else 'GB/s'}" if "rate" in row else ""
        share = percent(row["of_ceiling"]) if "rate" in row else ""
        forms = ", ".join(f"{lane['side']} {lane['variant']}" for lane in row["lanes"] if lane["variant"])
        ours = duration(1e-3 * row["ms"]) if "ms" in row else "-"
        cells.append((row["work"], f"≈ {ours}" if row.get("extrapolated") else ours, *ratios, rate, share, forms))
    columns = ("work", "xpnn", *[f"{name} / xpnn" for name in names], "achieved", "of ceiling", "fastest forms")
    notes = [
        "Time of the peer over ours, median (least - most) of the rounds: above 1 xpnn is the faster. ≈ extrapolated "
        "from a stretch of steps.",
        *_without(found),
    ]
    return Table("Peers", columns, cells, notes=notes, spare=("fastest forms", "achieved", "of ceiling"))


def _without(found: list[dict[str, Any]]) -> list[str]:
    """Why sides, or forms of them, have no time; in which works, where not in all."""
    works: dict[str, list[str]] = {}
    for row in found:
        for lane in row["lanes"]:
            why_not = {lane["side"]: lane["why_not"]} if lane["why_not"] else {}
            for what, why in (
                why_not | {f"{lane['side']} {form}": why for form, why in lane["failed"].items()}
            ).items():
                if "does not know" not in why:
                    works.setdefault(f"Without {what}: {why}", []).append(row["work"])
    return [said + (f" ({'; '.join(where)})" if len(where) < len(found) else "") for said, where in works.items()]


def _with_range(found: dict[str, Any], middle: str, text: Callable[[float], str] = "{:.2f}".format) -> str:
    shown = [text(found[which]) for which in (middle, "least", "most")]
    return shown[0] if shown[1] == shown[2] else f"{shown[0]} ({shown[1]} - {shown[2]})"


def start(data: dict[str, Any]) -> Table:
    """What a library costs before it computes: a line for each."""
    found = data["xpnn"].get("start", [])
    columns = list(dict.fromkeys(fact["name"] for fact in found))
    lines: dict[str, dict[str, str]] = {}
    for fact in found:
        unit = fact["unit"]
        text = duration if unit == "s" else lambda value, unit=unit: f"{number(value)} {unit}"
        shown = "-" if fact["median"] is None else _with_range(fact, "median", text)
        lines.setdefault(fact["library"], {})[fact["name"]] = shown
    cells = [(library, *[shown.get(name, "-") for name in columns]) for library, shown in lines.items()]
    notes = [f"Without {fact['library']}: {fact['why_not']}" for fact in found if "why_not" in fact]
    title = "Before the first step: median (least - most) of whole processes"
    return Table(title, ("library", *columns), cells, notes=notes)
