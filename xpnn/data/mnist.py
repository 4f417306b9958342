"""MNIST: 60,000 and 10,000 handwritten digits, from a folder, the cache or the network, in this order.

Source: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
Proceedings of the IEEE 86(11), 1998.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import sys
from pathlib import Path

import numpy as np

from xpnn.core import measured
from xpnn.data.dataset import Dataset
from xpnn.data.files import AnyPath
from xpnn.data.folder import NAMES, find_idx, has_all, pair_to_dataset, read_idx_folder
from xpnn.data.idx import header_of, read_idx
from xpnn.errors import DataError

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://yann.lecun.com/exdb/mnist/",
)
# Of the decompressed content: the gzip wrappers differ from mirror to mirror.
SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}


def mnist(path: AnyPath | None = None, download: bool = True) -> tuple[Dataset, Dataset]:
    """(train, test): x (N, 28, 28, 1) uint8 with scale 1/255, y (N,) int64, 10 classes.

    Args:
        path: a folder with the four IDX files, or with a folder `mnist` that has them. Only there is looked.
        download: whether the network may be asked when no folder has them.

    Without `path`, looks in `$XPNN_DATA`, `$XPNN_DATA/mnist` and the cache (`$XPNN_CACHE`, else the
    platform's cache folder), then downloads into the cache, from the first of three mirrors that answers.
    Files may be raw or .gz, named `train-images-idx3-ubyte` or `train-images.idx3-ubyte`.

    What is downloaded, now or earlier, must have the SHA-256 of the real MNIST. Files in `path` or
    `$XPNN_DATA` are someone's choice and need not: Fashion-MNIST and KMNIST come in the same four files. They
    are checked for being 28x28 images with as many labels in 0..9.

    Raises DataError: in one line and a few seconds when there is no network; for damaged or disagreeing
    files; for a cache that cannot be written.
    """
    given = [path] if path is not None else [os.environ["XPNN_DATA"]] if os.environ.get("XPNN_DATA") else []
    places = [place for folder in given for place in (Path(folder), Path(folder, "mnist"))]
    for place in places:
        if has_all(place):
            return _checked(place)
    if path is not None:
        return _checked(Path(path))  # says which file is missing
    cache = cache_folder()
    arrays = {name: _from_cache(cache, name, download) for name in SHA256}
    missing = [name for name, array in arrays.items() if array is None]
    if missing:
        looked = ", ".join(map(str, [*places, cache]))
        help_line = (
            "Put the four IDX files in a folder and set XPNN_DATA to it; or take the digits that are inside: "
            "xpnn.data.digits(), xpnn train digits"
        )
        if not download:
            raise DataError(f"mnist: not found in {looked}, and downloading is off. {help_line}")
        from xpnn.data import download as net  # with urllib and http behind it: only for those who download

        alive = net.reachable([mirror + missing[0] + ".gz" for mirror in MIRRORS])
        if not alive:
            raise DataError(f"mnist: not found in {looked}, and no mirror answers (no network?). {help_line}")
        mirrors = [url.removesuffix(missing[0] + ".gz") for url in alive]
        for name in missing:
            urls = [f"{mirror}{name}.gz" for mirror in mirrors]
            show = sys.stderr.isatty()
            try:
                verify = functools.partial(_verified, name=name)
                arrays[name] = net.fetch(urls, cache / f"{name}.gz", verify, show)
            except DataError as error:
                raise DataError(f"mnist: not found in {looked}; {error}. {help_line}") from error
    parts = [[arrays[NAMES[part, kind]] for kind in ("images", "labels")] for part in ("train", "test")]
    train, test = (pair_to_dataset(x, y, 10, "mnist") for x, y in parts)  # type: ignore[arg-type]
    return train, test


def cache_folder() -> Path:
    """Where MNIST is kept."""
    return measured.cache_folder() / "mnist"


def _checked(folder: Path) -> tuple[Dataset, Dataset]:
    train, test = read_idx_folder(folder, "mnist")
    if test is None:
        raise DataError(f"{folder}: {NAMES['test', 'images']}[.gz] is missing")
    for part, data in (("train", train), ("test", test)):
        if data.x.shape[1:3] != (28, 28) or data.x.dtype != np.uint8:
            raise DataError(f"{folder}: expected 28x28 uint8 images for {part}; got {data.x.dtype} {data.x.shape}")
    # A test file with fewer classes than the training file is still a set of ten.
    return tuple(Dataset(d.x, d.y, d.scale, d.shift, 10, d.name) for d in (train, test))  # type: ignore[return-value]


def _from_cache(cache: Path, name: str, download: bool) -> np.ndarray | None:
    """The verified array, or None when it is absent; a file that fails is removed if it can be fetched again."""
    path = find_idx(cache, name)
    if path is None:
        return None
    try:
        return _verified(path, name)
    except DataError:
        if not download:
            raise
        with contextlib.suppress(OSError):
            path.unlink()
        return None


def _verified(path: Path, name: str) -> np.ndarray:
    """The array in `path`, when it is the real MNIST's `name`; DataError otherwise.

    An IDX file is its header and its values and nothing else (read_idx sees to that), so hashing the two is
    hashing the decompressed content, without unpacking it a second time.
    """
    array = read_idx(path)
    content = hashlib.sha256(header_of(array))
    content.update(array.data)
    if content.hexdigest() != SHA256[name]:
        raise DataError(f"{path.name}: the content is not MNIST's {name} (SHA-256 {content.hexdigest()[:12]}...)")
    return array
