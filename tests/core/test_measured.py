"""What `xpnn bench` keeps counts where it was measured and nowhere else."""

from __future__ import annotations

import json

import pytest

from xpnn.core import backend, measured


@pytest.fixture
def file(monkeypatch, tmp_path):
    path = tmp_path / "folder" / "backends.json"
    monkeypatch.setattr(measured, "file", lambda: path)
    return path


def test_auto_is_what_was_the_fastest(file):
    measured.keep(["numpy", "numba"])
    assert backend.get("auto").name == "numpy"
    measured.keep(["numba", "numpy"])
    assert backend.get("auto").name == "numba"
    assert [path.name for path in file.parent.iterdir()] == ["backends.json"]


def test_a_backend_that_is_gone_is_passed_over(file):
    measured.keep(["gone", "numpy"])
    assert backend.get("auto").name == "numpy"


def test_a_gpu_that_was_not_measured_may_have_come_since(file, monkeypatch):
    versions = {"cupy-cuda12x": "14.2.0"}
    monkeypatch.setattr(measured.metadata, "version", lambda name: versions.get(name, "1"))
    measured.keep(["numpy"])
    assert measured.kept() == ((), "")
    measured.keep(["cuda:0", "numpy"])
    assert measured.kept()[0] == ("cuda:0", "numpy")


@pytest.mark.parametrize(
    "changed", [{"machine": "another"}, {"cpus": -1}, {"installed": {"numba": "0"}}, {"installed": []}, {"order": 3}]
)
def test_elsewhere_it_does_not_count(file, changed):
    measured.keep(["numpy"])
    file.write_text(json.dumps(json.loads(file.read_text()) | changed))
    assert measured.kept() == ((), "")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", "\x00"])
def test_a_damaged_file_does_not_count(file, text):
    file.parent.mkdir()
    file.write_text(text)
    assert measured.kept() == ((), "")


def test_the_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("XPNN_CACHE", str(tmp_path))
    assert measured.cache_folder() == tmp_path
