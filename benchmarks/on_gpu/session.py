"""A run: the tests, the rows in their order until the time is up, a file that is whole after each of them."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xpnn.data.files import write_whole
from xpnn.errors import BackendError
from xpnn_benchmarks.on_gpu import report, rows, selection
from xpnn_benchmarks.on_gpu.isolation import Isolated, Row, skipped
from xpnn_benchmarks.on_gpu.verdict import judged

SCHEMA = 1
MODULE = "xpnn_benchmarks.on_gpu.rows"
LOOK_S = 90
GRACE_S = 20
"""For the row that is under way when the budget is spent."""
LOOK = """
from xpnn.errors import XpnnError
from xpnn_benchmarks.on_gpu import device
try:
    device.real()
except XpnnError as error:
    raise SystemExit(str(error))
"""


def run(args: argparse.Namespace) -> int:
    """Everything; the exit status."""
    start = time.perf_counter()
    why_not = refusal()
    if why_not:
        raise BackendError(why_not)
    run_of: dict[str, Any] = {"schema": SCHEMA, "quick": args.quick, "tests": None, "ceilings": {}, "rows": []}
    first, *others = rows.ROWS
    wanted = [first, *[row for row in others if re.search(args.only, row.name)]]
    if args.tests:
        run_of["tests"] = selection.run()
        report.progress(f"tests: {run_of['tests']['text']}")
    measure(run_of, wanted, MODULE, {"quick": args.quick}, args.budget - (time.perf_counter() - start), args.json)
    run_of["seconds"] = time.perf_counter() - start
    write(run_of, args.json)
    report.show(run_of)
    return int(bool(report.failures(run_of)))


def refusal() -> str:
    """Why there is nothing to be measured here, or "". Asked in another process: CUDA is none of this one's."""
    try:
        done = subprocess.run([sys.executable, "-c", LOOK], capture_output=True, text=True, timeout=LOOK_S)
    except subprocess.TimeoutExpired:
        return f"on_gpu: the GPU does not answer within {LOOK_S} s"
    lines = done.stderr.strip().splitlines() or ["on_gpu: the process that looks for a GPU ended"]
    return lines[-1] if done.returncode else ""


def measure(
    run_of: dict[str, Any], rows: Sequence[Row], module: str, settings: dict[str, Any], budget_s: float, path: Any
) -> None:
    """Add what the rows found to `run_of["rows"]`. When the budget is spent, no row is begun any more, and the one that
    is under way has little time."""
    start = time.perf_counter()
    isolated = Isolated(module, settings)
    try:
        for row in rows:
            left = budget_s - (time.perf_counter() - start)
            limit_s = min(row.limit_s, left + GRACE_S)
            found = isolated.run(row, limit_s) if left > 0 else skipped(row, f"the {budget_s:.0f} s for rows were over")
            run_of["machine"] = found.pop("machine", run_of.get("machine"))
            run_of["ceilings"] = found.pop("ceilings", run_of["ceilings"])
            found = judged(found, row.musts, run_of["ceilings"])
            run_of["rows"].append(found)
            write(run_of, path)
            report.progress(report.line(found))
    finally:
        isolated.close()


def write(run_of: dict[str, Any], path: Path | None) -> None:
    """All or nothing."""
    if path is not None:
        write_whole(path, [json.dumps(run_of, indent=1).encode()])
