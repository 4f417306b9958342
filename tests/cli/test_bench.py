"""`xpnn bench` from the command line."""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from xpnn.cli import app

ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}  # pytest runs inside
COMMAND = [sys.executable, "-c", "from xpnn.cli import main; main()", "bench"]


def bench(*arguments):
    return CliRunner().invoke(app, ["bench", *map(str, arguments)])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--suite", "tests"], "suite"),
        (["--backend", "nunba"], "Did you mean"),
        (["--json", "no/such/folder/x.json"], "a folder that exists"),
        (["--html", "."], "the name of a file"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_measured(arguments, words):
    start = time.perf_counter()
    result = bench(*arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert len(result.output.strip().splitlines()) == 1
    assert time.perf_counter() - start < 10


def test_a_missing_library_is_named(monkeypatch):
    module = importlib.import_module("xpnn.cli.bench")  # in the package the name is the command's
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    assert "pip install 'xpnn[bench]'" in bench().output


@pytest.mark.slow
def test_a_run_is_shown_and_written(tmp_path):
    written, page = Path("run.json"), Path("run.html")  # in an empty folder, which conftest.py makes
    result = subprocess.run(
        [*COMMAND, "--quick", "--backend", "numba", "--json", written, "--html", page],
        capture_output=True,
        text=True,
        env={**ENVIRONMENT, "XPNN_CACHE": str(tmp_path)},
    )
    assert result.returncode == 0, result.stderr
    data = json.loads(written.read_text())
    assert data["xpnn"]["schema"] == 1
    assert not data["xpnn"]["failed"]
    assert {row["extra_info"]["suite"] for row in data["benchmarks"]} == {"ops", "crossover", "ladder"}
    assert "numba, recorded" in result.stdout
    assert page.read_text().startswith("<!")
    assert sorted(os.listdir()) == ["run.html", "run.json"]  # nothing else is left


@pytest.mark.slow
def test_what_was_measured_before_an_interruption_is_kept(tmp_path):
    written = tmp_path / "run.json"
    command = [*COMMAND, "--suite", "ops", "--backend", "numpy", "--json", written]  # takes minutes
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=ENVIRONMENT)
    time.sleep(15)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    data = json.loads(written.read_text())
    assert data["xpnn"]["interrupted"]
    assert data["benchmarks"]
    assert "interrupted" in out
