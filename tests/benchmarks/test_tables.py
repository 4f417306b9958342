"""The numbers of a report, reckoned by hand from a run, and its words."""

from __future__ import annotations

import doctest
import json

import pytest

from xpnn.errors import DataError
from xpnn_benchmarks.report import compare, source, tables, units


@pytest.mark.parametrize("module", [compare, tables, units])
def test_doctests(module):
    failed, tried = doctest.testmod(module)
    assert tried
    assert not failed


def test_ladder(run):
    (table,) = tables.ladder(run)
    objects, numpy, numba = table.rows
    assert table.title == "MLP"
    assert objects == ("objects", "100 ms", "1.00×", "≈ 100 min", "~50 %", "2/40", "2e-16", "")
    assert numpy[1:5] == ("1.00 ms", "100×", "≈ 60.0 s", "2 %")
    assert numba[1:4] == ("25.0 µs", "4,000×", "≈ 1.50 s")
    assert numba[-1] == "to device 2, waits 1"


def test_no_column_of_transfers_where_there_are_none(run):
    del run["benchmarks"][2]
    (table,) = tables.ladder(run)
    assert table.columns[-1] == "loss gap"
    assert {len(row) for row in table.rows} == {len(table.columns)}


def test_achieved(run):
    matmul, _, relu, _, flip = (source.achieved(row, run) for row in source.rows(run, "ops"))
    assert matmul == (pytest.approx(50), pytest.approx(0.05), "GFLOP/s", pytest.approx(0.5))
    assert relu == (pytest.approx(1), pytest.approx(5), "GB/s", pytest.approx(0.5))
    assert flip == (0, 0, "", None)


def test_ops_by_backend(run):
    numpy, numba, *_, flip = tables.all_ops(run).rows
    assert numpy == ("matmul 8x8", "forward", "numpy", "2.00 ms", "2 %", "2/40", "50.0", "0.05", "50 %", "")
    assert isinstance(numpy[3], tables.Strong)
    assert numba[3:] == ("4.00 ms", "2 %", "2/40", "25.0", "0.025", "25 %", "700 ms")
    assert not isinstance(numba[3], tables.Strong)
    assert flip[6:] == ("", "", "", "")


def test_fastest_ops(run):
    matmul, relu, flip = tables.fastest_ops(run).rows
    facts = ("2 %", "2/40", "50.0", "0.05", "50 %")
    assert matmul == ("matmul 8x8", "forward", "2.00 ms", "4.00 ms", *facts, "numba 700 ms")
    assert relu == ("relu 8x8", "backward", "~1.00 ms", "500 µs", "2 %", "2/40", "2.00", "10.0", "100 %", "")
    assert [isinstance(cell, tables.Strong) for cell in relu[2:4]] == [False, True]
    assert flip[2:4] == ("-", "1.00 µs")


def test_a_first_call_is_cold_where_it_is_far_above_the_median(run):
    def cold(median, first):
        return source.Row("", {"first_s": first}, median, median, median, 0, 5).cold

    assert cold(0.1, 0.5) == 0.5
    assert cold(0.1, 0.2) is None
    assert cold(1e-5, 1e-3) is None


def test_batches(run):
    table = tables.batches(run)
    assert table.columns == ("layer, forward and backward", "backend", "batch 1", "64", "4096")
    assert table.rows[0] == ("dense", "numpy", "10.0 µs", "640 µs", "41.0 ms")
    assert [isinstance(cell, tables.Strong) for cell in table.rows[1][2:]] == [False, True, True]
    assert tables.advices(run) == ["dense: below batch 64 use numpy, above it numba"]
    run["xpnn"]["noise"]["noisy"] = "it was"
    (said,) = tables.advices(run)
    assert "too noisy to say" in said


def test_advice_where_little_was_measured():
    assert tables.advice({"numba": {1: 1.0}}) == "only numba was measured"
    assert tables.advice({"numba": {1: 1.0}, "numpy": {2: 1.0}}) == "no batch size was measured on every backend"


def test_nothing_measured(run):
    run["benchmarks"] = []
    assert not list(tables.ladder(run))
    made = (tables.fastest_ops, tables.all_ops, tables.batches, tables.peers, tables.start)
    assert not any(make(run).rows for make in made)


def test_peers(run, peers):
    run["xpnn"]["peers"] = peers
    table = tables.peers(run)
    share = ("5.00 GB/s", "50 %")
    assert table.columns == ("work", "xpnn", "torch / xpnn", "jax / xpnn", "achieved", "of ceiling", "fastest forms")
    assert table.rows[0] == (
        "softmax, 64x10",
        "2.00 ms",
        "1.50 (1.25 - 2.00)",
        "-",
        *share,
        "xpnn recorded, torch compiled",
    )
    assert table.rows[1] == ("none", "-", "-", "-", "", "", "xpnn recorded")
    told = ["Without torch eager: too old", "Without jax: y differs"]
    assert table.notes[1:] == [f"{said} (softmax, 64x10)" for said in told]
    run["xpnn"]["peers"] = peers[:1]
    assert tables.peers(run).notes[1:] == told


def test_start(run):
    names = ("library", "name", "unit", "median", "least", "most")
    facts = (
        ("xpnn", "import", "s", 0.12, 0.11, 0.2),
        ("xpnn", "size", "MB", 33.0, 33.0, 33.0),
        ("torch", "import", "s", None, None, None),
    )
    run["xpnn"]["start"] = [dict(zip(names, fact, strict=True)) for fact in facts]
    run["xpnn"]["start"][2]["why_not"] = "not installed"
    table = tables.start(run)
    assert table.columns == ("library", "import", "size")
    assert table.rows == [("xpnn", "120 ms (110 ms - 200 ms)", "33.0 MB"), ("torch", "-", "-")]
    assert table.notes == ["Without torch: not installed"]


def test_machine(run):
    facts = dict(tables.machine(run))
    assert facts["measured"] == "2026-01-02 03:04 UTC"
    assert facts["ceiling"] == "100 GFLOP/s in a large product, 10.0 GB/s in a large copy (numpy, numba)"
    assert facts["threads"] == "xpnn 2, blas ?; load before the run 0.1"
    assert tables.verdict(run).startswith("steady")
    run["xpnn"]["noise"]["noisy"] = "the machine was 20% slower at the end"
    assert tables.verdict(run) == "noisy: the machine was 20% slower at the end"


def test_many_unsteady_rows_make_a_run_noisy(run):
    assert source.noisy(run) == ""
    for row in run["benchmarks"][:3]:
        row["stats"]["q3"] = 1.5 * row["stats"]["median"]
    assert source.noisy(run) == "4 of 14 rows varied by more than 10% between their quartiles"
    run["xpnn"]["noise"]["noisy"] = "at the end the same work took 2 times as long as at the start"
    assert source.noisy(run).startswith("at the end the same work took 2 times as long as at the start; 4 of 14 rows")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda run: run.pop("xpnn"), "something else"),
        (lambda run: run["xpnn"].update(schema=99), "expected version 1 of the schema; got 99"),
        (lambda run: run["benchmarks"][0]["stats"].pop("median"), "damaged: KeyError 'median'"),
        (lambda run: run["benchmarks"][0]["stats"].update(median=0.0), "damaged: times"),
        (lambda run: run["benchmarks"][0]["stats"].update(q1=0.0), "damaged: times"),
        (lambda run: run["benchmarks"][0]["stats"].update(q3=float("nan")), "damaged: times"),
        (lambda run: run["xpnn"]["ceilings"].pop("numba"), "damaged: KeyError 'numba'"),
        (lambda run: run.update(datetime="yesterday"), "damaged: ValueError"),
        (lambda run: run["xpnn"]["noise"].update(drift=0.0), "damaged: times"),
        (lambda run: run["xpnn"].pop("noise"), "damaged: nothing about noise"),
    ],
)
def test_load_refuses(run, tmp_path, spoil, said):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run))
    assert source.load(path) == run
    spoil(run)
    path.write_text(json.dumps(run))
    with pytest.raises(DataError, match=said) as caught:
        source.load(path)
    assert "\n" not in str(caught.value)


def test_load_refuses_what_is_not_json(tmp_path):
    with pytest.raises(DataError, match=r"none\.json: No such file"):
        source.load(tmp_path / "none.json")
    for content in (b"\x89PNG", b"[1, 2]", b"{"):
        (tmp_path / "other").write_bytes(content)
        with pytest.raises(DataError, match="something else"):
            source.load(tmp_path / "other")
