"""Small valid files for the readers, and a guard against tests that reach for the network or the user's cache."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn.data import write_idx


@pytest.fixture(autouse=True)
def private_places(monkeypatch, tmp_path):
    """No XPNN_DATA, an empty cache, no proxy between us and the loopback servers."""
    monkeypatch.delenv("XPNN_DATA", raising=False)
    monkeypatch.setenv("XPNN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")


@pytest.fixture
def idx_folder(tmp_path):
    """A folder in MNIST's shape: 20 training and 10 test images of 28x28, labels 0..9."""
    folder = tmp_path / "set"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part, count in (("train", 20), ("t10k", 10)):
        images = rng.integers(0, 256, (count, 28, 28), np.uint8)
        write_idx(folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(folder / f"{part}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8) % 10)
    return folder
