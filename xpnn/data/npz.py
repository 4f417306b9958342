"""NumPy's .npz (a zip of .npy files), read without believing what it says about itself."""

from __future__ import annotations

import math
import os
import warnings
import zipfile
import zlib
from typing import IO

import numpy as np

from xpnn.data.arrays import from_arrays
from xpnn.data.dataset import Dataset
from xpnn.data.files import CHUNK_BYTES, DEFLATE_MAX_RATIO, AnyPath, reason
from xpnn.errors import DataError

HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}


def read_npz(path: AnyPath, classes: int | None = None) -> tuple[Dataset, Dataset | None]:
    """(train, test) from the arrays `x_train, y_train, x_test, y_test`, or (all, None) from `x` and `y`.

    uint8 x is taken for pixels: scale 1/255, and (N, H, W) gains its channel axis, (N, H, W, 1). Other types
    go through `from_arrays`. Raises DataError for missing arrays, object arrays (nothing is ever unpickled),
    sizes that disagree, damaged or foreign files.
    """
    path = os.fspath(path)
    keras = ("x_train", "y_train", "x_test", "y_test")
    arrays = read_npz_arrays(path, (("x", "y"), keras))
    if "x" in arrays:
        return _dataset(arrays["x"], arrays["y"], classes, path), None
    if classes is None and arrays["y_train"].ndim == 1 and arrays["y_train"].dtype.kind in "iu":
        # Either part may lack the highest class; both get the count of the two together.
        classes = max(0, *(int(arrays[name].max(initial=0)) for name in ("y_train", "y_test"))) + 1
    train, test = (_dataset(arrays[f"x_{p}"], arrays[f"y_{p}"], classes, f"{path}, {p}") for p in ("train", "test"))
    return train, test


def _dataset(x: np.ndarray, y: np.ndarray, classes: int | None, name: str) -> Dataset:
    if x.dtype != np.uint8:
        return from_arrays(x, y, classes=classes, name=name)
    return from_arrays(x[..., None] if x.ndim == 3 else x, y, scale=1 / 255, classes=classes, name=name)


def read_npz_arrays(path: str, choices: tuple[tuple[str, ...], ...]) -> dict[str, np.ndarray]:
    """The arrays of the first of `choices` (sets of names) that the file has in full."""
    try:
        if not os.path.isfile(path):
            raise DataError(f"{path}: {'expected a regular file' if os.path.exists(path) else 'no such file'}")
        with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
            members = {info.filename: info for info in archive.infolist()}
            for names in choices:
                if all(f"{name}.npy" in members for name in names):
                    return {name: _member(archive, members[f"{name}.npy"], path) for name in names}
        have = ascii(sorted(members))[1:-1]  # names in a damaged file may hold newlines
        want = " or ".join(", ".join(names) for names in choices)
        raise DataError(f"{path}: expected arrays {want}; got {have:.200}" if have else f"{path}: an empty archive")
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {reason(error)}") from error
    except MemoryError as error:
        raise DataError(f"{path}: needs more than the free memory") from error
    except Exception as error:
        # zipfile meets damaged bytes with a dozen exception types (struct.error, NotImplementedError,
        # UnicodeError, RuntimeError for a password, ...), and the list grows with Python's versions.
        raise DataError(f"{path}: damaged or not an .npz file: {ascii(str(error))[1:-1]:.200}") from error


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, path: str) -> np.ndarray:
    """One array, its three sizes (zip entry, npy header, real content) compared before memory is spent."""
    what = f"{path}: {info.filename} (at byte {info.header_offset})"
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise DataError(f"{what}: expected stored or deflated; got zip compression type {info.compress_type}")
    if info.file_size > info.compress_size * DEFLATE_MAX_RATIO:
        raise DataError(f"{what}: {info.compress_size} compressed bytes cannot hold the promised {info.file_size}")
    try:
        with archive.open(info) as member:
            shape, fortran, dtype = _npy_header(member, what)
            body_bytes = math.prod(shape) * dtype.itemsize
            if member.tell() + body_bytes != info.file_size:
                raise DataError(
                    f"{what}: {dtype} {shape} needs {member.tell() + body_bytes} bytes, the entry has {info.file_size}"
                )
            body = bytearray()
            # zipfile compares the CRC itself, with the read that reaches the end.
            while piece := member.read(min(CHUNK_BYTES, body_bytes - len(body))):
                body += piece
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DataError(f"{what}: damaged: {ascii(str(error))[1:-1] or 'truncated'}") from error
    if len(body) != body_bytes:
        raise DataError(f"{what}: truncated: expected {body_bytes} bytes of values, got {len(body)}")
    flat = np.frombuffer(body, dtype)
    return flat.reshape(shape, order="F" if fortran else "C").astype(dtype.newbyteorder("="), copy=False)


def _npy_header(member: IO[bytes], what: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    try:
        version = np.lib.format.read_magic(member)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the header is Python source, and odd source warns as it is parsed
            shape, fortran, dtype = HEADERS[version](member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError):
        raise
    except Exception as error:  # numpy evaluates the header as a literal: damaged text fails in every way there is
        raise DataError(f"{what}: damaged .npy header: {str(error).splitlines()[0]:.100}") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise DataError(f"{what}: expected an array of numbers; got {dtype}")
    if any(size < 1 for size in shape):
        raise DataError(f"{what}: no values: shape {shape}")
    return shape, fortran, dtype
