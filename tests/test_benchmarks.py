"""The comparison runs, checks numbers and says what it left out."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest

from xpnn_benchmarks.peers import race, works


def table(tmp_path, *arguments):
    """(what it printed, what it wrote)."""
    command = [sys.executable, "-m", "xpnn_benchmarks.peers.table", "--rounds", "1", *arguments]
    done = subprocess.run([*command, "--json", str(tmp_path / "table.json")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, json.loads((tmp_path / "table.json").read_text())


@pytest.mark.slow
def test_without_peers(tmp_path):
    printed, written = table(tmp_path, "--only", "cross-entropy, 64x10$", "--peers")
    (row,) = written["rows"]
    assert row["work"] in printed
    assert row["ms"] > 0
    assert written["ceilings"]["gflops"] > 0


@pytest.mark.peers
def test_against_pytorch(tmp_path):
    pytest.importorskip("torch")
    _, written = table(tmp_path, "--only", "dense with ReLU, 64", "--peers", "torch")
    (row,) = written["rows"]
    torch = row["lanes"][1]
    assert not torch["why_not"]
    assert {"eager", "compiled"} <= {*torch["tried"], *torch["failed"]}
    assert row["peers"]["torch"]["ratio"] > 0


def test_other_numbers_are_not_timed():
    work = works.WORKS[0]
    y = np.ones((2, 3))
    assert race.differs(work, {"y": y}, {"y": y + 0.5 * work.close}) == ""
    assert "differs" in race.differs(work, {"y": y}, {"y": y + 2 * work.close})
    assert "differs" in race.differs(work, {"y": y}, {"y": y + np.nan})
    assert "shape" in race.differs(work, {"y": y}, {"y": y.T})
    assert "shape" in race.differs(work, {}, {"y": y})
