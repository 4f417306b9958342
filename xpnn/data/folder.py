"""A folder of four IDX files named as MNIST names them; EMNIST, KMNIST and Fashion-MNIST do the same."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from xpnn.data.dataset import Dataset
from xpnn.data.files import AnyPath
from xpnn.data.idx import read_idx
from xpnn.errors import DataError

# Part and kind of each file, under the name the original download has (plus .gz).
NAMES = {
    ("train", "images"): "train-images-idx3-ubyte",
    ("train", "labels"): "train-labels-idx1-ubyte",
    ("test", "images"): "t10k-images-idx3-ubyte",
    ("test", "labels"): "t10k-labels-idx1-ubyte",
}


def find_idx(folder: AnyPath, name: str) -> Path | None:
    """The file called `name` in `folder`: with `-` or `.` before idx (both are in use), raw or .gz."""
    for spelled in (name, name.replace("-idx", ".idx")):
        for ending in ("", ".gz"):
            path = Path(folder, spelled + ending)
            if os.path.isfile(path):
                return path
    return None


def has_all(folder: AnyPath) -> bool:
    """Whether all four files are in `folder`."""
    return all(find_idx(folder, name) for name in NAMES.values())


def read_idx_folder(folder: AnyPath, name: str | None = None) -> tuple[Dataset, Dataset | None]:
    """(train, test) from the IDX files in `folder`; test is None when neither of its two files is there.

    x (N, H, W, 1) as the file has it, uint8 with scale 1/255; y (N,) int64. Both sets count the classes of
    the two together. Raises DataError naming the missing file, or the two files that disagree.
    """
    folder = os.fspath(folder)
    found = {key: find_idx(folder, file_name) for key, file_name in NAMES.items()}
    if not os.path.isdir(folder):
        raise DataError(f"{folder}: no such folder")
    wanted = ["train", "test"] if found["test", "images"] or found["test", "labels"] else ["train"]
    for part in wanted:
        for kind in ("images", "labels"):
            if found[part, kind] is None:
                raise DataError(f"{folder}: {NAMES[part, kind]}[.gz] is missing")
    pairs = {part: _read_pair(found[part, "images"], found[part, "labels"]) for part in wanted}
    classes = max(int(y.max()) for _, y in pairs.values()) + 1
    sets = [pair_to_dataset(*pair, classes, name or f"{folder}, {part}") for part, pair in pairs.items()]
    return sets[0], sets[1] if len(sets) == 2 else None


def _read_pair(images: Path | None, labels: Path | None) -> tuple[np.ndarray, np.ndarray]:
    assert images is not None
    assert labels is not None
    x, y = read_idx(images, expect_ndim=3), read_idx(labels, expect_ndim=1)
    if len(x) != len(y):
        raise DataError(f"{images}: {len(x)} images, but {labels.name} has {len(y)} labels")
    if y.dtype.kind not in "iu":
        raise DataError(f"{labels}: expected integer labels; got {y.dtype}")
    return x, y


def pair_to_dataset(x: np.ndarray, y: np.ndarray, classes: int, name: str) -> Dataset:
    """Images (N, H, W) and labels (N,) as a Dataset with a channel axis."""
    if x.dtype.kind != "f" and x.dtype != np.uint8:
        raise DataError(f"{name}: expected images of uint8 or floats; got {x.dtype}")
    scale = 1 / 255 if x.dtype == np.uint8 else 1.0
    return Dataset(x[..., None], y.astype(np.int64), scale=scale, classes=classes, name=name)
