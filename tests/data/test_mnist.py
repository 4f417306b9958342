from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from xpnn.data import load, mnist, write_idx
from xpnn.errors import DataError

module = importlib.import_module("xpnn.data.mnist")  # `xpnn.data.mnist` is the function
network = importlib.import_module("xpnn.data.download")
REAL = os.environ.get("XPNN_DATA")  # read before the fixture takes it away


def has_mnist(folder: str | None) -> bool:
    names = [f"t10k-labels-idx1-ubyte{end}" for end in ("", ".gz")]
    return bool(folder) and any(Path(folder, sub, name).exists() for sub in ("", "mnist") for name in names)


@pytest.mark.skipif(not has_mnist(REAL), reason="XPNN_DATA does not hold MNIST")
def test_the_real_one(monkeypatch):
    monkeypatch.setenv("XPNN_DATA", REAL)
    train, test = mnist(download=False)
    assert train.x.shape == (60000, 28, 28, 1)
    assert test.x.shape == (10000, 28, 28, 1)
    assert train.y[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert np.bincount(test.y).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    mean, std = train.moments()
    assert mean == pytest.approx(0.1307, abs=5e-5)
    assert std == pytest.approx(0.3081, abs=5e-5)


@pytest.mark.skipif(not has_mnist(REAL), reason="XPNN_DATA does not hold MNIST")
def test_the_real_one_passes_the_check_of_the_cache(monkeypatch, tmp_path):
    source = Path(REAL, "mnist") if Path(REAL, "mnist").is_dir() else Path(REAL)
    shutil.copytree(source, tmp_path / "cache" / "mnist")
    assert len(mnist(download=False)[0]) == 60000


@pytest.mark.parametrize("below", ["", "mnist"])
@pytest.mark.parametrize("how", ["path", "environment"])
def test_places(monkeypatch, tmp_path, idx_folder, below, how):
    monkeypatch.setattr(network, "reachable", lambda urls: pytest.fail("asked the network"))
    home = tmp_path / "home"
    shutil.copytree(idx_folder, home / below)
    if how == "environment":
        monkeypatch.setenv("XPNN_DATA", str(home))
    train, test = mnist(home if how == "path" else None)
    assert train.x.shape == (20, 28, 28, 1)
    assert test.y.dtype == np.int64
    assert train.scale == pytest.approx(1 / 255)
    assert train.classes == test.classes == 10
    assert train.name == "mnist"
    if how == "environment":
        assert len(load("mnist")[0]) == 20


def test_names_with_a_dot(idx_folder):
    for path in list(idx_folder.iterdir()):
        path.rename(path.with_name(path.name.replace("-idx", ".idx")))
    assert len(mnist(idx_folder)[1]) == 10


def test_a_named_folder_is_the_only_place(monkeypatch, tmp_path, idx_folder):
    monkeypatch.setenv("XPNN_DATA", str(idx_folder))
    with pytest.raises(DataError, match="no such folder"):
        mnist(tmp_path / "absent")
    partial = tmp_path / "partial"
    partial.mkdir()
    shutil.copy(idx_folder / "train-labels-idx1-ubyte", partial)
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.* is missing"):
        mnist(partial)
    shutil.copy(idx_folder / "train-images-idx3-ubyte.gz", partial)
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte.* is missing"):
        mnist(partial)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("train-images-idx3-ubyte.gz", np.ones((20, 27, 28), np.uint8), "expected 28x28 uint8 images for train"),
        ("t10k-images-idx3-ubyte.gz", np.ones((10, 28, 28), np.float32), "expected 28x28 uint8 images for test"),
        ("train-images-idx3-ubyte.gz", np.ones((19, 28, 28), np.uint8), "19 images, but .* has 20 labels"),
        ("train-images-idx3-ubyte.gz", np.ones(20, np.uint8), "expected 3 dimensions"),
        ("t10k-labels-idx1-ubyte", np.full(10, 10, np.uint8), r"label 10 in row 0; expected 0\.\.9"),
    ],
)
def test_files_that_do_not_fit(idx_folder, name, array, message):
    write_idx(idx_folder / name, array)
    with pytest.raises(DataError, match=message):
        mnist(idx_folder)


def test_nowhere_and_downloading_off(tmp_path):
    with pytest.raises(DataError, match=r"downloading is off.*set XPNN_DATA") as error:
        mnist(download=False)
    assert str(tmp_path / "cache" / "mnist") in str(error.value)


def test_no_network_is_one_line_and_soon(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "MIRRORS", ("http://127.0.0.1:9/", "http://localhost:9/"))
    monkeypatch.setenv("XPNN_DATA", str(tmp_path / "nothing"))
    start = time.perf_counter()
    with pytest.raises(DataError, match=r"no mirror answers \(no network\?\).*set XPNN_DATA") as error:
        mnist()
    assert time.perf_counter() - start < 5
    assert "\n" not in str(error.value)
    assert str(tmp_path / "nothing") in str(error.value)
    assert not (tmp_path / "cache").exists()


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(network, "_answers", lambda url, timeout_s: time.sleep(2) or True)
    start = time.perf_counter()
    assert network.reachable(["http://a/", "http://b/"], timeout_s=0.1) == []
    assert time.perf_counter() - start < 1


def test_the_default_cache_is_the_platforms(monkeypatch, tmp_path):
    monkeypatch.delenv("XPNN_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert module.cache_folder().name == "mnist"
    assert "xpnn" in str(module.cache_folder())


@pytest.fixture
def pretend(monkeypatch, idx_folder):
    """The small folder's content counts as the real MNIST; returns its arrays' sums."""
    sums = {}
    for path in idx_folder.iterdir():
        content = path.read_bytes()
        if path.suffix == ".gz":
            import gzip

            content = gzip.decompress(content)
        sums[path.name.removesuffix(".gz")] = hashlib.sha256(content).hexdigest()
    monkeypatch.setattr(module, "SHA256", {name: sums[name] for name in module.SHA256})
    return idx_folder


def test_the_cache_is_checked(pretend, tmp_path):
    shutil.copytree(pretend, tmp_path / "cache" / "mnist")
    assert len(mnist(download=False)[0]) == 20
    bad = tmp_path / "cache" / "mnist" / "train-labels-idx1-ubyte"
    write_idx(bad, np.zeros(20, np.uint8))
    with pytest.raises(DataError, match="not MNIST's train-labels-idx1-ubyte"):
        mnist(download=False)
    assert bad.exists()  # without a network nothing could replace it


def test_missing_files_come_from_the_mirrors(pretend, tmp_path, monkeypatch):
    cache = tmp_path / "cache" / "mnist"
    shutil.copytree(pretend, cache)
    write_idx(cache / "train-labels-idx1-ubyte", np.zeros(20, np.uint8))
    asked = []

    def fetch(urls, target, verify, show):
        asked.append((urls, target.name, show))
        return verify(pretend / "train-labels-idx1-ubyte")

    monkeypatch.setattr(network, "reachable", lambda urls: urls[1:])
    monkeypatch.setattr(network, "fetch", fetch)
    assert len(mnist()[0]) == 20
    name = "train-labels-idx1-ubyte.gz"
    assert asked == [([mirror + name for mirror in module.MIRRORS[1:]], name, False)]
    assert not (cache / "train-labels-idx1-ubyte").exists()
