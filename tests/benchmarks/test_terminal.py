"""The report in a terminal: whole numbers at any width, and what was left out is said."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from xpnn_benchmarks.report import tables, terminal


def shown(run, width):
    console = Console(file=io.StringIO(), width=width)
    terminal.show(run, console)
    return console.file.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_every_number_is_whole(run, peers, width):
    """Words may go to the next line; numbers may not."""
    run["xpnn"]["peers"] = peers
    text = shown(run, width)
    assert max(map(len, text.splitlines())) <= width
    for table in (*tables.ladder(run), tables.fastest_ops(run), tables.batches(run), tables.peers(run)):
        left_out = (*table.spare, "transfers") if width < 200 else ()
        for row in table.rows:
            for name, cell in zip(table.columns[table.text :], row[table.text :], strict=True):
                assert name in left_out or cell in text, (name, cell)


def test_numbers_are_never_cropped():
    console = Console(file=io.StringIO(), width=16)
    terminal.draw(tables.Table("", ("words", "a", "b"), [("long words", "1234567 ms", "7654321 ms")]), console)
    letters = "".join(console.file.getvalue().split())
    assert all(letters.count(digit) == 2 for digit in "1234567")


def test_narrow_terminals_are_told_what_they_miss(run):
    assert "Left out, for the terminal is narrow: GB/s." in shown(run, 100).replace("GFLOP/s, GB/s", "GB/s")
    assert "Left out" not in shown(run, 200)


def test_what_the_line_above_has_is_not_repeated(run):
    lines = [line.split() for line in shown(run, 200).splitlines()]
    assert ["dense", "numpy", "10.0", "µs", "640", "µs", "41.0", "ms"] in lines
    assert ["numba", "80.0", "µs", "640", "µs", "5.12", "ms"] in lines


def test_head_and_noise(run):
    text = shown(run, 200)
    assert "measured  2026-01-02 03:04 UTC" in text
    assert "A <CPU> [1], 2 CPUs, 8.0 GB" in text
    assert "\nsteady: " in text
    assert "extrapolated" in text
    assert "dense: below batch 64 use numpy, above it numba" in text
    assert "interrupted" not in text
    run["xpnn"] |= {"interrupted": True, "failed": {"numba, dense": "its losses [differ]"}}
    assert "interrupted: what follows was measured before" in shown(run, 200)
    assert "failed: numba, dense: its losses [differ]" in shown(run, 200)
    run["xpnn"]["noise"]["noisy"] = "it [varied]"
    assert "\nnoisy: it [varied]" in shown(run, 200)


def test_little_was_measured(run):
    run["benchmarks"] = run["benchmarks"][3:4]
    text = shown(run, 120)
    assert "Operations" in text
    assert "Crossover" not in text
    assert "extrapolated" not in text
    run["benchmarks"] = []
    assert "measured" in shown(run, 120)
