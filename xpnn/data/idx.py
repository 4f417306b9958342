"""IDX, the format MNIST comes in: a magic number, the dimensions, then the values, all big-endian.

    byte 0-1   zero
    byte 2     element type      0x08 uint8   0x09 int8   0x0B int16   0x0C int32   0x0D float32   0x0E
    float64 byte 3     D, the number of dimensions byte 4-    D sizes, uint32 then       the values, row-major

Source: Y. LeCun, C. Cortes, C. Burges, "The MNIST database of handwritten digits", section "The IDX file
    format".
"""

from __future__ import annotations

import gzip
import math
import struct

import numpy as np

from xpnn.data.files import AnyPath, Source, write_whole
from xpnn.errors import DataError

TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CODES = {np.dtype(name).newbyteorder("="): code for code, name in TYPES.items()}
KINDS = {1: "labels", 3: "images"}
MAX_NDIM = 32  # one byte allows 255, but no array library goes that far


def _axes(ndim: int) -> str:
    kind = f" ({KINDS[ndim]})" if ndim in KINDS else ""
    return f"{ndim} dimension{'' if ndim == 1 else 's'}{kind}"


def read_idx(path: AnyPath, expect_ndim: int | None = None) -> np.ndarray:
    """The array in an IDX file, raw or gzip (told by content, not by name).

    Args:
        path: the file.
        expect_ndim: 1 for labels (N,), 3 for images (N, H, W); None takes what comes.

    Returns: an array with the file's shape, its element type in native byte order.

    Raises DataError, naming file and byte, for anything that is not exactly one IDX array: truncated,
    trailing bytes, empty, another magic number, an unknown element type, a damaged gzip stream, other
    dimensions than expected. The header is a claim to be checked: nothing is allocated on its word alone, so
    a header that promises gigabytes, or a small gzip that would expand to them, costs no memory.
    """
    with Source(path) as source:
        magic = source.read_exactly(4, "the IDX magic number")
        if magic[:2] != b"\0\0":
            raise DataError(f"{source.path}: not an IDX file: byte 0 starts with {magic.hex()}, expected 0000....")
        code, ndim = magic[2], magic[3]
        if code not in TYPES:
            known = ", ".join(f"0x{known:02x}" for known in TYPES)
            raise DataError(f"{source.path}: unknown element type 0x{code:02x} at byte 2; IDX has {known}")
        if not 1 <= ndim <= MAX_NDIM:
            raise DataError(f"{source.path}: {ndim} dimensions at byte 3; expected 1 to {MAX_NDIM}")
        if expect_ndim is not None and ndim != expect_ndim:
            raise DataError(
                f"{source.path}: expected {_axes(expect_ndim)}, got {_axes(ndim)} at byte 3. Are the files swapped?"
            )
        shape = struct.unpack(f">{ndim}I", source.read_exactly(4 * ndim, "the IDX header"))
        if 0 in shape:
            raise DataError(f"{source.path}: the header at byte 4 says shape {shape}: no values at all")
        dtype = np.dtype(TYPES[code])
        body_bytes = math.prod(shape) * dtype.itemsize
        total_bytes = source.offset + body_bytes
        if total_bytes > source.most_bytes:
            holds = f"{source.size_bytes} bytes" + (" of gzip can never hold that" if source.gzipped else "")
            raise DataError(
                f"{source.path}: truncated or mislabelled: shape {shape} at byte 4 promises "
                f"{total_bytes} bytes, the file has {holds}"
            )
        if not source.gzipped and total_bytes < source.size_bytes:
            raise DataError(
                f"{source.path}: oversized: shape {shape} ends at byte {total_bytes}, "
                f"but the file goes on to byte {source.size_bytes}"
            )
        body = source.read_exactly(body_bytes, f"shape {shape}")
        source.expect_end(f"shape {shape}")
    array = np.frombuffer(body, dtype).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def header_of(array: np.ndarray) -> bytes:
    """The IDX header (magic number and sizes) of `array`; DataError for what IDX cannot hold."""
    code = CODES.get(array.dtype.newbyteorder("="))
    if code is None:
        known = ", ".join(str(dtype) for dtype in CODES)
        raise DataError(f"write_idx: expected one of {known}; got {array.dtype}")
    if not 1 <= array.ndim <= MAX_NDIM or array.size == 0 or max(array.shape) >= 1 << 32:
        raise DataError(f"write_idx: expected 1 to {MAX_NDIM} non-empty dimensions; got shape {array.shape}")
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)


def write_idx(path: AnyPath, array: np.ndarray, compress: bool | None = None) -> None:
    """Write `array` as IDX, whole or not at all.

    Args:
        path: where to. An existing file is replaced only once the new one is safely on disk.
        array: uint8, int8, int16, int32, float32 or float64; 1 to 32 dimensions, none of them empty.
        compress: gzip or raw; None decides by the name (`.gz`).

    Raises DataError for other arrays, a full disk or a folder that cannot be written.
    """
    header = header_of(array)
    body = array.astype(TYPES[header[2]], order="C", copy=False).tobytes()
    if compress is None:
        compress = str(path).endswith(".gz")
    # mtime=0: the same array gives the same file, whenever it is written.
    pieces = [gzip.compress(header + body, 6, mtime=0)] if compress else [header, body]
    write_whole(path, pieces)
