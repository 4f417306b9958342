"""The comparison runs, checks numbers and says what it left out."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from importlib import metadata
from io import StringIO

import numpy as np
import pytest
from packaging.requirements import Requirement
from rich.console import Console

from xpnn.errors import ConfigError
from xpnn_benchmarks import peers, processes, startup
from xpnn_benchmarks.libraries import LIBRARIES, Library
from xpnn_benchmarks.peers import race, rows, works
from xpnn_benchmarks.peers import table as peers_table


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


def test_the_table_has_the_units_of_the_report():
    lane = {"side": "xpnn", "variant": "captured", "seconds": [9.95e-6], "why_not": "", "failed": {}}
    row = {
        "work": "a",
        "ms": 9.95e-3,
        "rate": 1.2345,
        "unit": "gbytes",
        "of_ceiling": 0.004,
        "lanes": [lane],
        "peers": {},
    }
    untimed = {"work": "b", "lanes": [{**lane, "seconds": [], "why_not": "not installed"}], "peers": {}}
    console = Console(width=100, file=StringIO(), record=True)
    peers_table.show(console, [row, untimed], [], {"gflops": 1.0, "gbytes": 1.0})
    cells = [[cell.strip() for cell in line.split("│")[1:-1]] for line in console.export_text().splitlines()]
    assert [row for row in cells if row] == [["a", "9.95 µs", "1.23 GB/s", "0.4 %"], ["b", "-", "", ""]]


def test_other_numbers_are_not_timed():
    work = works.WORKS[0]
    y = np.ones((2, 3))
    assert race.differs(work, {"y": y}, {"y": y + 0.5 * work.close}) == ""
    assert "differs" in race.differs(work, {"y": y}, {"y": y + 2 * work.close})
    assert "differs" in race.differs(work, {"y": y}, {"y": y + np.nan})
    assert "shape" in race.differs(work, {"y": y}, {"y": y.T})
    assert "shape" in race.differs(work, {}, {"y": y})


MODELS = {work.sizes["model"]: work for work in works.WORKS if work.kind == "training"}


@pytest.mark.peers
@pytest.mark.parametrize(
    ("side", "model"),
    [
        *[("jax", model) for model in MODELS],
        *[("keras", "mlp"), ("keras", "lenet5"), ("keras", "char_lstm")],
        *[("tinygrad", "mlp"), ("tinygrad", "lenet5")],
    ],
)
def test_the_same_losses_in_every_library(side, model, monkeypatch):
    absent = [library for library in race.PEERS[side] if importlib.util.find_spec(library) is None]
    if absent:
        pytest.skip(f"needs {absent[0]}")
    if side == "tinygrad" and not shutil.which("clang"):
        pytest.skip("tinygrad compiles by clang")
    monkeypatch.setattr(race, "TURN_S", 0.0)
    with race.Side("xpnn") as ours, race.Side(side) as theirs:
        _, lane = race.race(MODELS[model], [ours, theirs], 1)
    assert not lane.why_not
    assert not lane.failed
    assert len(lane.seconds) == 1


def test_a_library_that_is_absent_is_named(monkeypatch):
    monkeypatch.setitem(race.PEERS, "torch", ("torch_of_another_world",))
    with race.Side("torch") as side:
        assert side.ask(work="any") == {"error": "torch_of_another_world not installed"}


class Fake:
    """A side that answers ones, in 2 seconds where it is ours and 3 elsewhere."""

    def __init__(self, name):
        self.name, self.works = name, 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        closed.append(self.name)

    def ask(self, **request):
        if "seconds" in request:
            return {"seconds": 2.0 if self.name == "xpnn" else 3.0}
        self.works += 1
        np.savez(request["answers"], y=np.ones(2))
        return {"variant": "", "tried": {}, "failed": {}}


class Interrupted(Fake):
    def ask(self, **request):
        if self.works and "work" in request:
            raise KeyboardInterrupt
        return super().ask(**request)


class Dying(Fake):
    def ask(self, **request):
        return {"error": "killed"} if "seconds" in request else super().ask(**request)


closed: list[str] = []


def test_an_interruption_keeps_the_rows_so_far(monkeypatch):
    monkeypatch.setattr(rows, "Side", Interrupted)
    closed.clear()
    found = []
    with pytest.raises(KeyboardInterrupt):
        peers.run(["numpy"], 2, "cross-entropy", found.append, {"gflops": 1.0, "gbytes": 1.0})
    (row,) = found
    assert row["peers"]["numpy"]["ratio"] == 1.5
    assert sorted(closed) == ["numpy", "xpnn"]


def test_a_side_that_ends_while_it_is_timed_is_named():
    lanes = race.race(works.WORKS[0], [Fake("xpnn"), Dying("other")], 2)
    found = rows.row(works.WORKS[0], lanes, {"gflops": 1.0, "gbytes": 1.0})
    assert lanes[1].why_not == "killed"
    assert found["ms"] == 2000
    assert not found["peers"]


def test_names_that_are_none():
    with pytest.raises(ConfigError, match="peers: expected some of torch"):
        peers.run(["caffe"])
    with pytest.raises(ConfigError, match="peers: expected part of the name"):
        peers.run([], only="no such work")
    with pytest.raises(ConfigError, match="startup: expected some of numpy, xpnn"):
        startup.run(["caffe"])


CPUS = "import os, sys; sys.stdin.readline(); print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux only")
def test_children_have_as_many_threads_and_cpus(monkeypatch):
    monkeypatch.setattr(processes, "get_num_threads", lambda: 1)
    before = os.sched_getaffinity(0)
    with processes.Child("-c", CPUS) as child:
        assert child.ask().split() == ["1", "1"]
    assert os.sched_getaffinity(0) == before
    with processes.Child("-c", "1 / 0") as child, pytest.raises(processes.Ended, match="ZeroDivisionError"):
        child.ask()


def test_an_interruption_does_not_wait_for_a_child():
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), processes.Child("-c", "import time; time.sleep(60)"):
        raise KeyboardInterrupt
    assert time.monotonic() - start < 30


def test_start_up(monkeypatch):
    for one in (
        Library("plain", "import json", "len('')", ("numpy",)),
        Library("absent", "import no_such_library", "", ("numpy",)),
    ):
        monkeypatch.setitem(LIBRARIES, one.name, one)
    told = []
    found = startup.run(["plain", "absent"], 2, told.append)
    assert told == found
    by_name = {row["name"]: row for row in found if row["library"] == "plain"}
    assert {startup.IMPORT, startup.START, startup.SIZE} <= set(by_name)
    assert all(0 < row["least"] <= row["median"] <= row["most"] for row in by_name.values())
    assert by_name[startup.IMPORT]["most"] < by_name[startup.START]["least"]
    (absent,) = (row for row in found if row["library"] == "absent")
    assert absent["median"] is None
    assert absent["why_not"] == "not installed: ModuleNotFoundError: No module named 'no_such_library'"


def test_the_size_of_xpnn_is_its_own_and_that_of_what_it_requires():
    required = [Requirement(line).name for line in metadata.requires("xpnn") if "extra ==" not in line]
    own = sum(file.stat().st_size for file in startup.our_files() if file.suffix == ".py") / 1e6
    ours = startup.installed_mb(["xpnn"])
    assert "numba" in required
    assert own > 0.3
    assert ours >= own + startup.installed_mb(required)
    assert startup.installed_mb(["numpy", "xpnn"]) == pytest.approx(ours)


def test_xpnn_starts():
    found = startup.process(LIBRARIES["xpnn"])
    assert found[startup.IMPORT] < found[startup.START]


def test_a_library_that_breaks_off_is_named(monkeypatch):
    """And costs no other its figures."""

    def one_round(library):
        if library is startup.LIBRARIES["numpy"]:
            raise startup.Ended("no compiler")
        return {startup.IMPORT: 1.0}

    monkeypatch.setattr(startup, "process", lambda library: {})
    monkeypatch.setattr(startup, "one_round", one_round)
    rows = startup.run(["numpy", "xpnn"], rounds=1)
    assert [row["why_not"] for row in rows if "why_not" in row] == ["no compiler"]
    assert [row["median"] for row in rows if (row["library"], row["name"]) == ("xpnn", startup.IMPORT)] == [1.0]
