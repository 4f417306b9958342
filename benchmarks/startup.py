"""What a library costs before it trains: its import, its memory, its first step and its size on the disk.

    python -m xpnn_benchmarks.startup [--rounds 5] [--libraries xpnn torch jax]

Processes of their own, in turn, with equal threads (`processes.py`); `libraries.py` has what they do. A first one of
each is not counted: it writes byte code, and shows whether the library is there. Memory is what the process holds then
and there, not the most that it held. Two starts are told apart for libraries that keep compiled code on the disk: with
it, and with an empty folder. The size is that of all files of the distribution and of those it requires, without extras
and byte code; Keras is counted, and measured, with JAX behind it.
"""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from statistics import median
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from rich.console import Console
from rich.table import Table

from xpnn.errors import ConfigError
from xpnn_benchmarks.libraries import LIBRARIES, Library
from xpnn_benchmarks.processes import Child, Ended

Row = dict[str, Any]
IMPORT, START, EMPTY = "import", "start to the first step", "the same, nothing compiled yet"
IMPORTED, TRAINED, SIZE = "memory after the import", "memory after the step", "size on the disk"
UNITS = {IMPORT: "s", START: "s", EMPTY: "s", IMPORTED: "MB", TRAINED: "MB", SIZE: "MB"}
# The last line keeps the process until its memory has been read.
PROGRAM = """\
import sys, time
sys.stdin.readline()
start = time.perf_counter()
{imports}
print(time.perf_counter() - start, flush=True)
sys.stdin.readline()
{step}
print(time.time(), flush=True)
sys.stdin.readline()
"""


def run(names: Sequence[str] = (), rounds: int = 3, on_row: Callable[[Row], Any] = lambda row: None) -> list[Row]:
    """Measure the libraries of these names, all where none is given: {"library", "name", "unit", "median", "least",
    "most"} for each figure, and "why_not" beside medians of None for a library that cannot be measured.

    on_row is given every row at the end, and those of the rounds so far if it is interrupted.

    ConfigError for a name that is none.
    """
    unknown = [name for name in names if name not in LIBRARIES]
    if unknown:
        raise ConfigError(f"startup: expected some of {', '.join(LIBRARIES)}; got {', '.join(unknown)}")
    found: dict[str, dict[str, list[float]]] = {name: {} for name in names or LIBRARIES}
    why_not: dict[str, str] = {}
    rows: list[Row] = []
    try:
        for name, figures in found.items():
            try:
                process(LIBRARIES[name])
                figures[SIZE] = [installed_mb(LIBRARIES[name].distributions)]
            except (Ended, metadata.PackageNotFoundError) as error:
                why_not[name] = f"not installed: {error}" if "No module named" in str(error) else str(error)
        for _ in range(rounds):
            for name, figures in found.items():
                try:
                    measured = {} if name in why_not else one_round(LIBRARIES[name])
                except Ended as error:  # tinygrad compiles by a clang, and lacks it only where nothing is kept
                    measured, why_not[name] = {}, str(error)
                for what, value in measured.items():
                    figures.setdefault(what, []).append(value)
    finally:
        for name, figures in found.items():
            rows += [row(name, what, figures[what]) for what in UNITS if what in figures]
            if name in why_not:
                rows.append(row(name, START, []) | {"why_not": why_not[name]})
        for one in rows:
            on_row(one)
    return rows


def row(library: str, name: str, values: list[float]) -> Row:
    middle, least, most = (median(values), min(values), max(values)) if values else (None, None, None)
    return {"library": library, "name": name, "unit": UNITS[name], "median": middle, "least": least, "most": most}


def one_round(library: Library) -> dict[str, float]:
    figures = process(library)
    if library.compiled:
        with tempfile.TemporaryDirectory() as folder:
            figures[EMPTY] = process(library, folder)[START]
    return figures


def process(library: Library, compiled: str = "") -> dict[str, float]:
    """One process from its start to the first step; Ended if it does not get there."""
    environment = {"PYTHONDONTWRITEBYTECODE": "", **({library.compiled: compiled} if compiled else {})}
    start = time.time()
    with Child("-c", PROGRAM.format(imports=library.imports, step=library.step), **environment) as child:
        figures: dict[str, float | None] = {IMPORT: float(child.ask()), IMPORTED: child.resident_mb()}
        if library.step:
            figures |= {START: float(child.ask()) - start, TRAINED: child.resident_mb()}
    return {what: value for what, value in figures.items() if value is not None}


def installed_mb(distributions: Sequence[str]) -> float:
    """Bytes of all files that pip put there, the requirements' included, in 10^6; not what was compiled since."""
    todo, seen, files = [Requirement(name) for name in distributions], set(), set()
    while todo:
        wanted = todo.pop()
        name = canonicalize_name(wanted.name)
        if name in seen:
            continue
        seen.add(name)
        found = metadata.distribution(wanted.name)
        files |= {Path(str(file.locate())) for file in found.files or ()}
        if name == "xpnn":
            files |= our_files()
        extras = wanted.extras or {""}
        for line in found.requires or ():
            needed = Requirement(line)
            if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(needed)
    return sum(file.stat().st_size for file in files if file.is_file() and "__pycache__" not in file.parts) / 1e6


def our_files() -> set[Path]:
    """Those of xpnn itself, which pip does not list where it is installed for editing."""
    specs = [importlib.util.find_spec(name) for name in ("xpnn", "xpnn_kernels", "xpnn_benchmarks")]
    folders = [folder for spec in specs if spec for folder in spec.submodule_search_locations or ()]
    return {file for folder in folders for file in Path(folder).rglob("*")}


def show(console: Console, rows: list[Row]) -> None:
    """A line for each library."""
    table = Table(title="median (least - most)")
    for name in ("", *[f"{what}, {unit}" for what, unit in UNITS.items()]):
        table.add_column(name, justify="right" if name else "left")
    for library in dict.fromkeys(one["library"] for one in rows):
        cells = dict.fromkeys(UNITS, "")
        for one in rows:
            if one["library"] == library and one["median"] is not None:
                cells[one["name"]] = figures(one)
        table.add_row(library, *cells.values())
    console.print(table)
    for one in rows:
        if "why_not" in one:
            console.print(f"{one['library']}: {one['why_not']}", highlight=False)


def figures(one: Row) -> str:
    places = 2 if one["unit"] == "s" else 0
    middle, least, most = (f"{one[which]:.{places}f}" for which in ("median", "least", "most"))
    return middle if least == most else f"{middle} ({least} - {most})"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--libraries", nargs="*", default=[], choices=LIBRARIES)
    args = parser.parse_args()
    rows: list[Row] = []
    try:
        run(args.libraries, args.rounds, rows.append)
    except KeyboardInterrupt:
        print("interrupted: what was measured so far")
    show(Console(), rows)


if __name__ == "__main__":
    main()
