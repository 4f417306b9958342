"""One table of a run, made from what it wrote and from nothing else."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

FAILED = ("failed", "out of time")
COLOURS = {"PASS": "green", "failed": "red", "out of time": "red", "skipped": "yellow", "left out": "yellow"}


def progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def number(value: float | None) -> str:
    """Three digits.

    >>> number(0.01234), number(1234.5), number(None)
    ('0.0123', '1234', '-')
    """
    if value is None:
        return "-"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def said(must: dict[str, Any]) -> str:
    """One verdict: what was measured, what it must be, PASS or by how much it is short."""
    if must["limit"] is None:
        return f"{must['what']} {number(must['measured'])} {must['unit']}" if must["measured"] is not None else ""
    limit = f"{'<=' if must['at_most'] else '>='} {must['limit']:g} {must['unit']}"
    return f"{must['what']} {number(must['measured'])} {must['unit']} ({limit}): {must['verdict']}"


def line(found: dict[str, Any]) -> str:
    """A row while the run goes on."""
    told = [found["state"], *filter(None, [found["why"], found.get("text")]), *filter(None, map(said, found["musts"]))]
    return f"{found['name']}: {'; '.join(told)} [{found['seconds']:.0f} s]"


def lane(found: dict[str, Any], kind: str) -> str:
    """The fastest lane of a kind: its median by events, the quartiles, and by the wall."""
    lanes = [one for name, one in found.get("lanes", {}).items() if name.startswith(kind) and "us" in one]
    if not lanes:
        return ""
    best = min(lanes, key=lambda one: one["us"])
    return f"{number(best['us'])} ({number(best['low_us'])}-{number(best['high_us'])}) | {number(best['wall_us'])}"


KINDS = {"xpnn": "xpnn", "eager": "torch eager", "graph": "torch graph", "compiled": "torch compiled"}


def table(rows: list[dict[str, Any]]) -> Table:
    made = Table(title="us of a step: median by events (quartiles) | by the wall", show_lines=False)
    made.add_column("row")
    for name in ("xpnn", *[f"PyTorch {kind}" for kind in list(KINDS)[1:]]):
        made.add_column(name, justify="right")
    made.add_column("must")
    for found in rows:
        state = found["state"]
        verdicts = Text("\n").join(_coloured(must) for must in found["musts"] if said(must))
        if state != "done":
            verdicts = Text(f"{state}: {found['why']}", COLOURS.get(state, "")) + "\n" + verdicts
        elif found.get("text"):
            verdicts = Text(found["text"]) + ("\n" if found["musts"] else "") + verdicts
        made.add_row(found["name"], *[lane(found, kind) for kind in KINDS.values()], verdicts)
    return made


def _coloured(must: dict[str, Any]) -> Text:
    verdict = must["verdict"]
    return Text(said(must), COLOURS.get(verdict, "red" if verdict.startswith("short") else ""))


def failures(run_of: dict[str, Any]) -> list[str]:
    """What sets the exit status."""
    tests = run_of["tests"] or {"failed": 0}
    red = [f"tests: {tests['text']}"] if tests["failed"] else []
    return red + [f"{row['name']}: {row['why']}" for row in run_of["rows"] if row["state"] in FAILED]


def show(run_of: dict[str, Any], console: Console | None = None) -> None:
    console = console or Console(width=None if sys.stdout.isatty() else 200, highlight=False)
    machine = run_of.get("machine") or {}
    for name, value in machine.items():
        console.print(f"{name}: {value}", markup=False)
    units = {"copy": (1e9, "GB/s")}
    ceilings = run_of["ceilings"]
    told = [f"{k} {v / units.get(k, (1e12, ''))[0]:.4g} {units.get(k, (0, 'TFLOP/s'))[1]}" for k, v in ceilings.items()]
    console.print("ceilings: " + (", ".join(told) or "not measured"))
    console.print(table(run_of["rows"]))
    for row in run_of["rows"]:
        for name, one in row.get("lanes", {}).items():
            if "why_not" in one:
                console.print(f"{row['name']}, {name}: {one['why_not']}", markup=False)
    if run_of["tests"]:
        tests = run_of["tests"]
        console.print(Text(f"tests on the GPU: {tests['text']}", "red" if tests["failed"] else "green"))
        for name in tests.get("red", [])[:20]:
            console.print(Text(f"  {name}", "red"))
    left = [row["name"] for row in run_of["rows"] if row["state"] == "left out"]
    if left:
        console.print(Text(f"left out for lack of time: {'; '.join(left)}", "yellow"))
    for why in failures(run_of):
        console.print(Text(f"failed: {why}", "red"))
    verdicts = [must["verdict"] for row in run_of["rows"] for must in row["musts"] if must["limit"] is not None]
    passed, short = verdicts.count("PASS"), sum(v.startswith("short") for v in verdicts)
    rest = len(verdicts) - passed - short
    console.print(f"of what must hold: {passed} PASS, {short} short, {rest} not measured; {run_of['seconds']:.0f} s")
