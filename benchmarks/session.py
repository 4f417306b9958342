"""A run of the suite from the command line: pytest in this process, a bar instead of its lines, one JSON file.

What was measured is in the file after Ctrl-C too. Reports are made from that file alone.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from xpnn.core import measured
from xpnn.errors import BackendError, DataError
from xpnn_benchmarks import crossover, machine, peers, startup
from xpnn_benchmarks.report import source

HERE = Path(__file__).parent
TRAIN, OPS = ("bench_ladder.py",), ("bench_crossover.py", "bench_ops.py")
SUITES = {"train": TRAIN, "ops": OPS, "all": TRAIN + OPS}
QUIETLY = (
    *("-p", "no:terminal", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:doctest", "--benchmark-quiet"),
    *("-W", "ignore::pytest_benchmark.logger.PytestBenchmarkWarning"),
    *("-c", os.devnull, "--rootdir", str(HERE), "--import-mode=importlib", "-o", "python_files=bench_*.py"),
)


COLUMNS = (BarColumn(bar_width=24), MofNCompleteColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
OTHERS = ("torch", "jax", "keras", "sklearn", "tinygrad")


class Watch:
    """The plugin that moves the bar, keeps what failed, and tells the JSON file."""

    def __init__(self, suite: str, bar: Progress) -> None:
        self.about: dict[str, Any] = {"suite": suite, "interrupted": False, "failed": {}}
        self._bar, self._task = bar, bar.add_task("", total=None)

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        self._bar.update(self._task, total=len(session.items))

    def pytest_runtest_logstart(self, nodeid: str) -> None:
        self._bar.update(self._task, description=_within_brackets(nodeid))

    def pytest_runtest_logfinish(self) -> None:
        self._bar.advance(self._task)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            lines = [line for line in str(report.longrepr).splitlines() if line.startswith("E ")]
            self.about["failed"][_within_brackets(report.nodeid)] = lines[0][1:].strip() if lines else report.when

    def pytest_keyboard_interrupt(self) -> None:
        self.about["interrupted"] = True

    def pytest_benchmark_update_json(self, output_json: dict[str, Any]) -> None:
        output_json["xpnn"] |= self.about


def _within_brackets(nodeid: str) -> str:
    return nodeid.partition("[")[2].rstrip("]") or nodeid


def run(suite: str, backends: Sequence[str], quick: bool, console: Console) -> dict[str, Any]:
    """Measure, and give what was measured. BackendError for a backend that cannot be used, DataError for nothing."""
    options = [f"--backend={name}" for name in backends] + ["--quick"] * quick
    os.environ.pop("PYTEST_ADDOPTS", None)  # meant for other tests
    with tempfile.TemporaryDirectory() as folder, Progress(*COLUMNS, console=console, transient=True) as bar:
        written, watch = Path(folder, "run.json"), Watch(suite, bar)
        files = [str(HERE / name) for name in SUITES[suite]]
        storage = (f"--benchmark-json={written}", f"--benchmark-storage=file://{folder}")
        code = pytest.main([*QUIETLY, *options, *storage, *files], plugins=[watch])
        if code == pytest.ExitCode.USAGE_ERROR:
            raise BackendError("bench: the suite could not be started")
        if not written.exists() or not written.stat().st_size:
            if watch.about["interrupted"]:
                raise KeyboardInterrupt
            raise DataError(f"bench: nothing was measured: {watch.about['failed'] or 'no benchmark is of this choice'}")
        return json.loads(written.read_text())


def against_peers(data: dict[str, Any], console: Console) -> None:
    """Race other libraries on the works of the suite, and start them; what was done before Ctrl-C stays."""
    about = data["xpnn"]
    works = [work for work in peers.WORKS if about["suite"] in ("all", "train" if work.kind == "training" else "ops")]
    works = [work for work in works if "MLP" in work.name] if about["quick"] else works
    only, rounds = "|".join(f"^{re.escape(work.name)}$" for work in works), 1 if about["quick"] else 3
    about["peers"], about["start"] = [], []
    with Progress(*COLUMNS, console=console, transient=True) as bar:
        task = bar.add_task("peers", total=len(works) + 1)

        def done(row: dict[str, Any]) -> None:
            about["peers"].append(row)
            bar.advance(task)

        try:
            peers.run(OTHERS, rounds, only, done)
            bar.update(task, description="processes from their start")
            startup.run((), rounds, about["start"].append)
        except KeyboardInterrupt:
            about["interrupted"] = True
    about["noise"] = machine.noise(about["noise"]["before"], machine.steadiness())


def remember(data: dict[str, Any]) -> str:
    """Keep for "auto" which backend is the fastest at batch 64: it, or "" where not all were measured, or in noise."""
    from xpnn.core import backend as backends

    usable = {place.device for place in backends.usable()[0]}
    times = crossover.tabulate(data["benchmarks"])
    complete = len(times) == len(crossover.WORKS) and all(
        usable == set(by_place) and all(crossover.USUAL in by_batch for by_batch in by_place.values())
        for by_place in times.values()
    )
    if not complete or source.noisy(data):
        return ""
    order = crossover.order_at(times, crossover.USUAL)
    try:
        measured.keep(order)
    except OSError:  # a cache folder that cannot be written: `auto` stays as it was
        return ""
    return order[0]


def write(data: dict[str, Any], path: Path) -> None:
    """The JSON file, whole or not at all."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(json.dumps(data, indent=1))
    part.replace(path)
