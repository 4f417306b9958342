"""What counts as slower: beyond the quartiles and beyond what the runs show of their own noise."""

from __future__ import annotations

import copy
import io
import json

import pytest
from rich.console import Console

from xpnn_benchmarks.report import compare

RELU = "test_op[numba, relu 8x8, backward]"


def changed(run, factor, only=None):
    """The run with its times, or those of one row, multiplied."""
    other = copy.deepcopy(run)
    for row in other["benchmarks"]:
        if only in (None, row["name"]):
            for name in ("median", "q1", "q3"):
                row["stats"][name] *= factor
    return other


def names(pairs):
    return [new.name for _, new in pairs]


def test_a_run_against_itself(run):
    found = compare.compare(run, run)
    assert not found.slower
    assert not found.faster
    assert found.alike == len(run["benchmarks"])
    assert not found.warnings
    assert found.drift == 1


@pytest.mark.parametrize(("factor", "slower", "faster"), [(1.3, 1, 0), (1.15, 0, 0), (0.87, 0, 0), (1 / 1.3, 0, 1)])
def test_a_steady_row(run, factor, slower, faster):
    found = compare.compare(run, changed(run, factor, RELU))
    assert names(found.slower) == [RELU] * slower
    assert names(found.faster) == [RELU] * faster


def test_quartiles_that_overlap_explain_a_row(run):
    """The objects of the ladder: their quartiles are half of their median apart."""
    unsteady = "test_rung[mlp, objects]"
    assert not compare.compare(run, changed(run, 1.5, unsteady)).slower
    assert names(compare.compare(run, changed(run, 2.0, unsteady)).slower) == [unsteady]
    assert not compare.compare(changed(run, 1.5, unsteady), run).faster
    assert names(compare.compare(changed(run, 2.0, unsteady), run).faster) == [unsteady]


@pytest.mark.parametrize("noise", [{"spread": 0.4}, {"drift": 1.4}, {"drift": 0.7}])
def test_noise_of_either_run_explains_a_row(run, noise):
    slower = changed(run, 1.3, RELU)
    for side in (run, slower):
        noisy = copy.deepcopy(side)
        noisy["xpnn"]["noise"] |= noise
        pair = (noisy, slower) if side is run else (run, noisy)
        assert not compare.compare(*pair).slower
    assert compare.compare(run, slower).slower


def test_a_slower_machine_explains_slower_rows_and_no_faster_ones(run):
    other = changed(run, 1.4)
    for when in ("before", "after"):
        other["xpnn"]["noise"][when] = {"median_s": 1.4e-4, "spread": 0.02}
    found = compare.compare(run, other)
    assert found.drift == pytest.approx(1.4)
    assert not found.slower
    assert compare.compare(other, run).drift == pytest.approx(1 / 1.4)
    assert not compare.compare(other, run).faster
    faster = changed(other, 1 / 1.4 / 1.3, RELU)
    assert names(compare.compare(run, faster).faster) == [RELU]


def test_the_worst_first(run):
    found = compare.compare(run, changed(changed(run, 1.5), 2, RELU))
    assert names(found.slower)[0] == RELU


def test_rows_of_one_run_only(run):
    other = copy.deepcopy(run)
    del run["benchmarks"][0], other["benchmarks"][3:5]
    found = compare.compare(run, other)
    assert (found.only_old, found.only_new) == (2, 1)
    assert found.alike == len(run["benchmarks"]) - 2


def test_what_differs_is_named(run):
    other = copy.deepcopy(run)
    other["xpnn"]["quick"] = True
    here = other["xpnn"]["machine"]
    here["cpu"], here["gpu"], here["threads"]["xpnn"] = "Another", {"cupy:0": "A GPU"}, 4
    here["versions"] = {"xpnn": "0.1.0", "numpy": "2.5.0", "numba": "0.61"}
    other["xpnn"]["noise"]["noisy"] = "the machine was 20% slower at the end"
    said = "\n".join(compare.compare(run, other).warnings)
    assert "cpu: A <CPU> [1] in the old run, Another in the new one" in said
    assert "gpu: none in the old run, A GPU" in said
    assert "numba: none in the old run, 0.61" in said
    assert "numpy: 2.4.6 in the old run, 2.5.0" in said
    assert "xpnn threads: 2 in the old run, 4" in said
    assert "run: full in the old run, quick" in said
    assert "the new run was noisy: the machine was 20% slower" in said
    assert len(said.splitlines()) == 7
    other["xpnn"] |= {"interrupted": True, "failed": {"numba, dense": "E"}}
    assert "the new run: failed: numba, dense: E" in compare.compare(run, other).warnings


def test_printed(run, tmp_path):
    paths = [tmp_path / "old.json", tmp_path / "new.json"]
    for path, data in zip(paths, (run, changed(run, 1.3, RELU)), strict=True):
        path.write_text(json.dumps(data))
    console = Console(file=io.StringIO(), width=200)
    assert compare.show(*paths, console) is True
    text = console.file.getvalue()
    assert text.count("measured on 2026-01-02 03:04 UTC") == 2
    assert ["ops:", "numba,", "relu", "8x8,", "backward", "500", "µs", "650", "µs", "1.30×"] in map(
        str.split, text.splitlines()
    )
    assert "1 slower, 0 faster" in text
    assert "noise explains from 0.826× to 1.21×" in text
    assert compare.show(*paths[::-1], console) is False
    assert compare.show(paths[0], paths[0], console) is False
