"""What the run on a GPU says in the end: verdicts, what is short, what was left out, which tests are red."""

from __future__ import annotations

import doctest
import xml.etree.ElementTree as ElementTree
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from xpnn_benchmarks.on_gpu import report, selection, verdict

ROOT = Path(__file__).parents[2]


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
