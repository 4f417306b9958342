"""The command line in this process, away from the user's data; and a model that reads digits."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from xpnn.cli import app
from xpnn.data import digits


@pytest.fixture(autouse=True)
def private_places(monkeypatch, tmp_path):
    """No MNIST to be found, no network to ask, plain text 80 columns wide, and the working directory empty."""
    monkeypatch.delenv("XPNN_DATA", raising=False)
    monkeypatch.setenv("XPNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr("xpnn.data.download.reachable", lambda urls, timeout_s=0: [])
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def call(*args):
    return CliRunner().invoke(app, [str(arg) for arg in args])


@pytest.fixture
def xpnn():
    """xpnn("train", "digits", ...) -> stdout of a command that must succeed."""

    def run(*args):
        result = call(*args)
        assert result.exit_code == 0, (result.exception, result.output)
        return result.stdout

    return run


@pytest.fixture
def fails():
    """fails("train", "digist") -> the one line on stderr of a command that must fail with code 1."""

    def run(*args):
        result = call(*args)
        assert result.exit_code == 1, (result.exception, result.output)
        lines = result.stderr.splitlines()
        assert lines[-1].startswith("xpnn: ")
        assert "Traceback" not in result.output
        assert all(line.startswith("epoch ") for line in lines[:-1])
        return lines[-1].removeprefix("xpnn: ")

    return run


@pytest.fixture(scope="session")
def digits_model(tmp_path_factory):
    """A network trained on the embedded digits as `xpnn train digits` does."""
    path = tmp_path_factory.mktemp("model") / "digits.safetensors"
    result = call("train", "digits", "--checkpoint", path, "--quiet")
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture(scope="session")
def mnist_folder():
    """The folder with real MNIST; the test skips where there is none."""
    # Read at the session's start: `private_places` hides it from the commands.
    if not MNIST:
        pytest.skip("XPNN_DATA does not lead to MNIST")
    return MNIST


def _find_mnist():
    from xpnn.data.folder import has_all

    given = os.environ.get("XPNN_DATA")
    places = [Path(given), Path(given, "mnist")] if given else []
    return next((place for place in places if has_all(place)), None)


MNIST = _find_mnist()


@pytest.fixture
def small(tmp_path):
    """Paths of a small set in every form: {"csv": ..., "npz": ...}, 200 of the digits."""
    train = digits()[0][:200]
    flat = train.x.reshape(200, 64)
    rows = np.column_stack([train.y, flat])
    np.savetxt(tmp_path / "small.csv", rows, fmt="%d", delimiter=",")
    np.savez(tmp_path / "small.npz", x=flat.astype(np.float64) * 10 - 30, y=train.y)
    return {"csv": tmp_path / "small.csv", "npz": tmp_path / "small.npz"}
