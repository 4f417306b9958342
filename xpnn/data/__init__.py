"""Data sets: readers that trust nothing, and the Dataset they all return."""

from __future__ import annotations

import os

from xpnn.data.arrays import from_arrays
from xpnn.data.batches import Batches
from xpnn.data.csvfile import read_csv
from xpnn.data.dataset import Dataset
from xpnn.data.digits import digits
from xpnn.data.folder import read_idx_folder
from xpnn.data.idx import read_idx, write_idx
from xpnn.data.mnist import mnist
from xpnn.data.npz import read_npz
from xpnn.data.text import Text, read_text
from xpnn.errors import ConfigError, DataError, hint

__all__ = [
    "Batches",
    "Dataset",
    "Text",
    "digits",
    "from_arrays",
    "load",
    "mnist",
    "read_csv",
    "read_idx",
    "read_idx_folder",
    "read_npz",
    "read_text",
    "write_idx",
]

NAMED = ("mnist", "digits")
ENDINGS = (".csv", ".csv.gz", ".npz")


def load(
    source: str | os.PathLike[str], *, download: bool = True, classes: int | None = None
) -> tuple[Dataset, Dataset | None]:
    """(train, test) from a name or a path; test is None where the source has only one set.

    Args:
        source: "mnist", "digits", a .csv, .csv.gz or .npz file, or a folder with IDX files named as MNIST's.
        download: whether "mnist" may use the network.
        classes: for CSV and .npz, how many; None: the largest label + 1.

    Raises ConfigError for a name that is none of these, DataError for a file that cannot be read.
    """
    text = os.fspath(source)
    if text == "mnist":
        return mnist(download=download)
    if text == "digits":
        return digits()
    lower = text.lower()
    if lower.endswith(".npz"):
        return read_npz(text, classes=classes)
    if lower.endswith((".csv", ".csv.gz")):
        return read_csv(text, classes=classes), None
    if os.path.isdir(text):
        return read_idx_folder(text)
    if os.path.exists(text):
        advice = ". A text is read by xpnn.data.read_text" if lower.endswith((".txt", ".txt.gz")) else ""
        raise DataError(f"{text}: expected {', '.join(ENDINGS)} or a folder with IDX files (images and labels){advice}")
    raise ConfigError(
        f"load: unknown data {text!r}; expected {' or '.join(map(repr, NAMED))}, a path ending in "
        f"{', '.join(ENDINGS)}, or a folder with IDX files{hint(lower, NAMED)}"
    )
