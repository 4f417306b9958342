"""The run on a GPU, without one: rows that break cost no other, and nothing else is a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cuda_cpu import standin
from xpnn.core import backend as backends
from xpnn.errors import BackendError
from xpnn_benchmarks.on_gpu import device, report, session, verdict
from xpnn_benchmarks.on_gpu.isolation import Row

ROOT = Path(__file__).parents[2]
ROWS = """
import json, os, time
from pathlib import Path
from xpnn_benchmarks.on_gpu.isolation import Row, Skip

def begin(settings, tell):
    return {"tell": tell, **settings}

def end(bench):
    pass

def lanes(us):
    return {"lanes": {"xpnn": {"us": us, "low_us": us, "high_us": us, "wall_us": us}}}

def machine(bench):
    return {"machine": {"gpu": "none"}, "ceilings": {"copy": 4e9}, "process": os.getpid()}

def broken(bench):
    raise RuntimeError("an illegal address\\nand more")

def gone(bench):
    bench["tell"]({"cold_s": 7})
    bench["tell"](lanes(30.0))
    os._exit(3)

def hanging(bench):
    bench["tell"](lanes(10.0))
    time.sleep(60)

def skipping(bench):
    raise Skip("not here yet")

def fine(bench):
    written = json.loads(Path(bench["json"]).read_text()) if bench["json"] else {"rows": []}
    return {**lanes(20.0), "process": os.getpid(), "written": len(written["rows"])}

NAMES = {"machine": machine, "first": fine, "broken": broken, "second": fine, "gone": gone, "third": fine,
         "hanging": hanging, "fourth": fine, "skipping": skipping, "fifth": fine}
ROWS = tuple(Row(name, run) for name, run in NAMES.items())
"""


def rows(musts=(), limit_s=20.0):
    names = ("machine", "first", "broken", "second", "gone", "third", "hanging", "fourth", "skipping", "fifth")
    return [Row(name, lambda bench: {}, musts, 1.5 if name == "hanging" else limit_s) for name in names]


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Rows that break in every way."""
    (tmp_path / "rows_that_break.py").write_text(ROWS)
    monkeypatch.syspath_prepend(str(tmp_path))
    return "rows_that_break"


def measured(module, wanted, budget_s=100.0, path=None):
    run_of = {"schema": 1, "quick": False, "tests": None, "ceilings": {}, "rows": []}
    session.measure(run_of, wanted, module, {"json": path and str(path)}, budget_s, path)
    return {**run_of, "seconds": 1.0}


def test_a_row_costs_no_other(module, tmp_path):
    path = tmp_path / "run.json"
    run_of = measured(module, rows((verdict.at_most(25, "us"),)), path=path)
    found = {row["name"]: row for row in run_of["rows"]}
    assert {name: row["state"] for name, row in found.items() if row["state"] != "done"} == {
        "broken": "failed",
        "gone": "failed",
        "hanging": "out of time",
        "skipping": "skipped",
    }
    assert found["broken"]["why"] == "RuntimeError: an illegal address"
    assert found["gone"]["why"] == "its process ended"
    assert found["gone"]["cold_s"] == 7
    assert found["hanging"]["seconds"] < 10
    assert [found[f"{nth}"]["written"] for nth in ("first", "second", "third", "fourth", "fifth")] == [1, 3, 5, 7, 9]
    # what was told before the end is kept, and judged
    assert [found[name]["musts"][0]["verdict"] for name in ("gone", "hanging", "first")] == [
        "short by 20 %",
        "PASS",
        "PASS",
    ]
    assert found["broken"]["musts"][0]["verdict"] == "not measured"
    # one process as long as nothing breaks, another one after that
    processes = [found[name]["process"] for name in ("first", "second", "third", "fourth", "fifth")]
    assert len(set(processes)) == 4
    assert processes[3] == processes[4]
    assert run_of["machine"] == {"gpu": "none"}
    assert json.loads(path.read_text())["rows"] == run_of["rows"]
    assert [line.partition(":")[0] for line in report.failures(run_of)] == ["broken", "gone", "hanging"]


def test_no_row_is_begun_when_the_time_is_up(module):
    run_of = measured(module, rows(), budget_s=-1)
    assert {row["state"] for row in run_of["rows"]} == {"left out"}
    assert len(run_of["rows"]) == 10
    assert not report.failures(run_of)


def test_a_row_does_not_outlast_the_budget(module, monkeypatch):
    monkeypatch.setattr(session, "GRACE_S", 0)
    names = ("machine", "hanging", "first")
    run_of = measured(module, [Row(name, lambda bench: {}) for name in names], budget_s=4)
    assert [row["state"] for row in run_of["rows"]] == ["done", "out of time", "left out"]


def test_a_module_that_cannot_be_imported_is_a_failed_row(tmp_path):
    run_of = measured("no_such_module", rows()[:2])
    assert [row["state"] for row in run_of["rows"]] == ["failed", "failed"]


def test_the_stand_in_is_no_gpu():
    with standin.installed(standin.load()):
        assert backends.get("cuda").device == "cuda:0"  # tests may use it
        with pytest.raises(BackendError, match="a stand-in"):
            device.real()


@pytest.fixture
def no_gpu():
    try:
        backends.get("cuda")
    except BackendError:
        return
    pytest.skip("here is a GPU")


@pytest.mark.usefixtures("no_gpu")
@pytest.mark.parametrize("quick", [[], ["--quick"]])
def test_without_a_gpu_one_line(tmp_path, quick):
    """From a checkout that is not installed, whatever the folder."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(ROOT / "benchmarks" / "gpu.py"), "--json", str(tmp_path / "run.json"), *quick]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("backend 'cuda:0': ")
    assert not (tmp_path / "run.json").exists()
