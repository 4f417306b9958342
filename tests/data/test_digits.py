from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import xpnn.data.files as beside
from xpnn.data import Dataset, digits, load, read_idx_folder, write_idx
from xpnn.errors import ConfigError, DataError


def test_the_embedded_digits():
    train, test = digits()
    assert train.x.shape == (1437, 8, 8, 1)
    assert test.x.shape == (360, 8, 8, 1)
    assert train.x.dtype == np.uint8
    assert train.x.max() * train.scale == 1.0
    assert train.classes == test.classes == 10
    # The counts of the ten digits as the source's documentation (optdigits.names) gives them for its test
    # set.
    both = np.concatenate([train.y, test.y])
    assert np.bincount(both).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert train.y[:30].tolist() == 3 * list(range(10))


def test_other_splits():
    train, test = digits(1000)
    assert (len(train), len(test)) == (1000, 797)
    for split in (0, 1797, -1):
        with pytest.raises(ConfigError, match="split"):
            digits(split)


def test_source_and_licence_are_stated():
    text = Path(beside.__file__).with_name("digits.LICENSE").read_text()
    for fact in ("Alpaydin", "Kaynak", "10.24432/C50P49", "CC BY 4.0", "UCI"):
        assert fact in text


def test_load_by_name_and_path(tmp_path, idx_folder):
    assert len(load("digits")[0]) == 1437
    (tmp_path / "a.csv").write_text("1,2,3\n0,1,2\n")
    train, test = load(tmp_path / "a.csv", classes=4)
    assert isinstance(train, Dataset)
    assert train.classes == 4
    assert test is None
    np.savez(tmp_path / "a.npz", x=train.x, y=train.y)
    assert load(str(tmp_path / "a.npz"), classes=4)[0].classes == 4
    train, test = load(idx_folder)
    assert (len(train), len(test)) == (20, 10)


def test_load_of_unknown_names(tmp_path):
    with pytest.raises(ConfigError, match=r"unknown data 'minst'.*Did you mean 'mnist'"):
        load("minst")
    with pytest.raises(ConfigError, match=r"expected 'mnist' or 'digits', a path ending in \.csv") as error:
        load("zzz")
    assert "Did you mean" not in str(error.value)
    (tmp_path / "a.txt").write_text("1,2\n")
    with pytest.raises(DataError, match=r"a\.txt: expected \.csv"):
        load(tmp_path / "a.txt")
    with pytest.raises(DataError, match="no such file"):
        load("absent.csv")


def test_idx_folders_of_any_shape(tmp_path):
    write_idx(tmp_path / "train-images.idx3-ubyte", np.ones((4, 5, 6), np.uint8))
    write_idx(tmp_path / "train-labels.idx1-ubyte.gz", np.array([0, 25, 3, 3], np.uint8))
    train, test = read_idx_folder(tmp_path)
    assert train.x.shape == (4, 5, 6, 1)
    assert train.classes == 26
    assert test is None
    write_idx(tmp_path / "t10k-images-idx3-ubyte", np.ones((2, 5, 6), np.float32))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte.* is missing"):
        read_idx_folder(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([30], np.uint8))
    with pytest.raises(DataError, match="2 images, but t10k-labels-idx1-ubyte has 1 labels"):
        read_idx_folder(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([30, 2], np.uint8))
    train, test = read_idx_folder(tmp_path)
    assert train.classes == test.classes == 31
    assert test.scale == 1.0
    write_idx(tmp_path / "t10k-labels-idx1-ubyte", np.array([30.0, 2.5], np.float32))
    with pytest.raises(DataError, match="expected integer labels; got float32"):
        read_idx_folder(tmp_path)
    with pytest.raises(DataError, match="no such folder"):
        read_idx_folder(tmp_path / "absent")


def test_importing_is_light():
    code = (
        "import sys, xpnn.data; heavy = {'pooch', 'requests', 'rich', 'urllib.request', 'numba', 'cupy', 'matplotlib'};"
        "found = heavy & set(sys.modules); assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
