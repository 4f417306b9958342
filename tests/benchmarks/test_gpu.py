"""The run on a GPU, without one: rows that break cost no other, numbers go before times, and nothing else is a GPU."""

from __future__ import annotations

import doctest
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from io import StringIO
from itertools import cycle
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from cuda_cpu import standin
from xpnn.core import backend as backends
from xpnn.errors import BackendError
from xpnn_benchmarks.on_gpu import clock, device, report, selection, session, verdict
from xpnn_benchmarks.on_gpu.contest import Different, Lane, contest, differs
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


# Nothing but a GPU --------------------------------------------------------------------------------------------------


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


# Numbers, then times ------------------------------------------------------------------------------------------------


class Steps:
    """A clock on which every step takes what it says."""

    def __init__(self):
        self.now = 0.0

    def mark(self):
        return self.now

    @staticmethod
    def between(first, last):
        return last - first

    def wait(self): ...

    def step(self, *seconds):
        taking = cycle(seconds)

        def run():
            self.now += next(taking)

        return run


@pytest.fixture
def bench():
    told = []
    return SimpleNamespace(clock=Steps(), rounds=2, tell=told.append, told=told)


def lane(bench, answer, seconds=1e-5, works=1.0):
    return lambda: Lane(bench.clock.step(seconds), {"losses": np.array(answer)}, works)


def broken():
    raise RuntimeError("no such algorithm")


def test_lanes(bench):
    makers = {
        "xpnn": lane(bench, [1.0, 2.0], 2e-5),
        "torch none": broken,
        "torch eager": lane(bench, [1.0, 2.0 + 1e-6], 1e-4),
        "torch graph": lane(bench, [1.0, 2.1]),
        "xpnn Trainer.fit": lane(bench, [1.0, 2.0], 3e-4, 10),
    }
    found = contest(bench, makers, 1e-4)
    assert found["checked"] == "torch eager"
    assert found["lanes"]["torch none"] == {"why_not": "RuntimeError: no such algorithm"}
    assert "losses differs by 4.5e-02" in found["lanes"]["torch graph"]["why_not"]
    times = {name: lane["us"] for name, lane in found["lanes"].items() if "us" in lane}
    assert times == pytest.approx({"xpnn": 20, "torch eager": 100, "xpnn Trainer.fit": 30})
    assert set(bench.told[0]["lanes"]) == {"xpnn", "torch none", "torch eager"}
    assert verdict.times(5, "eager").measure(found, {}) == pytest.approx(5)
    assert verdict.at_most(25, "us").measure(found, {}) == pytest.approx(20)
    assert verdict.share(80, 1.0, "copy").measure(found, {"copy": 1e5}) == pytest.approx(50)
    assert verdict.share(80, 1.0, "copy").measure(found, {}) is None


@pytest.mark.parametrize("answer", [[1.0, 2.1], [1.0, np.nan], [1.0]])
def test_other_numbers_are_not_timed(bench, answer):
    with pytest.raises(Different, match=r"losses.*compared with torch eager; not timed"):
        contest(bench, {"xpnn": lane(bench, answer), "torch eager": lane(bench, [1.0, 2.0])}, 1e-4)
    with pytest.raises(Different, match="compared with NumPy"):
        contest(bench, {"xpnn": lane(bench, answer)}, 1e-4, {"losses": np.array([1.0, 2.0])})
    assert bench.clock.now == 0


def test_ours_does_not_prove_ours(bench):
    with pytest.raises(Different, match="nothing to compare"):
        contest(bench, {"xpnn": lane(bench, [1.0]), "torch": broken, "xpnn Trainer.fit": lane(bench, [1.0])}, 1e-4)


def test_differs():
    one = np.array([[1.0, 2.0]])
    assert differs({"y": one}, {"y": one}, 1e-6) == ""
    assert differs({"y": one, "z": one}, {"y": one}, 1e-6) == ""
    assert "expected shape (1, 2); got None" in differs({}, {"y": one}, 1e-6)
    assert differs({"y": 0 * one}, {"y": 0 * one}, 1e-6) == ""


def test_the_median_by_events():
    steps = Steps()
    uneven = (1e-5, 1e-5, 1e-5, 1e-3)  # one in four waits for something
    found = clock.measure({"it": (steps.step(*uneven), 1)}, steps, rounds=2)["it"]
    assert found["us"] == pytest.approx(10)
    assert found["low_us"] == pytest.approx(10)
    assert found["high_us"] > 10


def test_turns_go_forwards_and_backwards():
    assert "".join(clock.in_turns(["a", "b", "c"], 3)) == "abccbaabc"


# Verdicts and the report --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "at_most", "measured", "said"),
    [
        (25, True, 25, "PASS"),
        (25, True, 25.1, "short by < 1 %"),
        (25, True, 50, "short by 100 %"),
        (5, False, 5.0, "PASS"),
        (5, False, 1.0, "short by 80 %"),
        (5, False, None, "not measured"),
        (5, True, float("nan"), "not measured"),
        (None, False, 3.0, ""),
    ],
)
def test_verdicts(limit, at_most, measured, said):
    must = verdict.Must("it", limit, "us", at_most, lambda found, ceilings: measured)
    assert verdict.judge(must, measured)["verdict"] == said


@pytest.mark.parametrize("module", [verdict, report])
def test_examples(module):
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


def test_the_report_says_what_is_short_and_what_was_left_out():
    step = {"us": 30.0, "low_us": 29.0, "high_us": 31.0, "wall_us": 32.0}
    musts = (verdict.at_most(25, "us"), verdict.times(5, "eager"))
    base = {"seconds": 1.0, "why": ""}
    network = {"name": "MLP", "state": "done", **base, "lanes": {"xpnn": step, "torch eager": {**step, "us": 300.0}}}
    left = {"name": "LeNet-5", "state": "left out", "seconds": 0.0, "why": "the 450 s for rows were over"}
    red = {"name": "check: NaN", "state": "failed", "seconds": 1.0, "why": "Wrong: NaN in dx"}
    found = [verdict.judged(network, musts, {}), verdict.judged(left, musts, {}), verdict.judged(red, (), {})]
    tests = {"text": "7 passed, 1 failed, 0 skipped", "failed": 1, "red": ["test_parity[relu]"]}
    run_of = {"machine": {"gpu": "H"}, "ceilings": {"copy": 4e12}, "rows": found, "tests": tests, "seconds": 9.0}
    console = Console(width=200, record=True, file=StringIO())
    report.show(run_of, console)
    printed = console.export_text()
    for part in (
        "step 30 us (<= 25 us): short by 20 %",
        "times torch eager 10 x (>= 5 x): PASS",
        "30 (29-31) | 32",
        "copy 4000 GB/s",
        "left out for lack of time: LeNet-5",
        "failed: check: NaN: Wrong: NaN in dx",
        "failed: tests: 7 passed, 1 failed",
        "1 PASS, 1 short, 2 not measured",
    ):
        assert part in printed
    assert len(report.failures(run_of)) == 2
    assert report.line(found[0]).startswith("MLP: done; step 30 us")


def test_tests_are_counted():
    case = '<testcase name="{}">{}</testcase>'
    kinds = {"a": "", "b": "<failure/>", "c": "<skipped/>", "d": "<error/>"}
    tree = ElementTree.fromstring(f"<suite>{''.join(case.format(*kind) for kind in kinds.items())}</suite>")
    assert selection.counted(tree)["text"] == "1 passed, 2 failed, 1 skipped"
    assert selection.counted(tree)["red"] == ["b", "d"]
    assert selection.counted(ElementTree.fromstring("<suite/>"))["failed"] == 1


def test_the_selected_tests_exist():
    assert [path for path in selection.TESTS if not (ROOT / path).exists()] == []
