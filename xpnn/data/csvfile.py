"""CSV as `label,p0,p1,...`: one sample a line, a header line or none, raw or gzip.

Two parsers take turns on pieces of whole lines. Pixels are unsigned integers of one to three digits, and for
those the values can be read off with array arithmetic over all bytes at once. Anything else goes through
`numpy.loadtxt`, and a piece that neither takes is walked line by line, only to say what is wrong and where.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from xpnn.data.dataset import Dataset
from xpnn.data.files import AnyPath, Source
from xpnn.errors import DataError

PIECE_BYTES = 1 << 22
MAX_LINE_BYTES = 1 << 26  # a longer line is not a sample; without a limit a gzip bomb would be read to its end
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
ZERO, COMMA, NEWLINE = b"0"[0], b","[0], b"\n"[0]


def read_csv(path: AnyPath, classes: int | None = None, scale: float | None = None) -> Dataset:
    """Samples from a CSV file.

    Args:
        path: the file. First column a whole-number label, the rest numbers. A first line that starts with
            something other than a number is a header. Every line has as many columns as the first.
        classes: how many; labels must be below it. None: the largest label + 1.
        scale: None gives 1/255 for images and 1 otherwise.

    Returns: when every value is an integer in 0..255 and the columns make a square of at least 2x2, images
    (N, S, S, 1) uint8; otherwise (N, I) float32. Labels are int64.

    Raises DataError naming file and line: ragged rows, blank lines, something that is no number, NaN or
    infinity, values beyond float32, a label that is negative, fractional or not below `classes`; empty and
    damaged files.
    """
    labels: list[np.ndarray] = []
    pixels: list[np.ndarray] = []
    width = 0
    with Source(path) as source:
        for first_line, piece in _pieces(source):
            if first_line == 1:
                piece = piece.removeprefix(BYTE_ORDER_MARK)
                head, _, rest = piece.partition(b"\n")
                width = head.count(b",") + 1
                if width < 2:
                    raise DataError(f"{source.path}, line 1: expected label,p0,p1,...; got {_show(head)}")
                if not _is_number(head.partition(b",")[0]):
                    first_line, piece = 2, rest
                    if not piece:
                        continue
            table = _digits(piece, width)
            if table is None:
                table = _numbers(piece, width, first_line, source.path)
            labels.append(_labels(table[:, 0], classes, first_line, source.path))
            pixels.append(_pixels(table[:, 1:], first_line, source.path))
    if not labels:
        raise DataError(f"{source.path}: no samples, only {'a header' if width else 'blank lines'}")
    y = np.concatenate(labels)
    side = math.isqrt(width - 1)
    is_image = side > 1 and side * side == width - 1 and all(piece.dtype == np.uint8 for piece in pixels)
    # concatenate would make uint8 and float32 pieces float32 by itself; all-integer features need it said.
    x = np.concatenate(pixels, dtype=np.uint8 if is_image else np.float32)
    if is_image:
        x = x.reshape(-1, side, side, 1)
    if scale is None:
        scale = 1 / 255 if is_image else 1.0
    return Dataset(x, y, scale=scale, classes=classes, name=source.path)


def _pieces(source: Source) -> Iterator[tuple[int, bytes]]:
    """(number of its first line, whole lines each ending in a newline), about PIECE_BYTES at a time."""
    line, rest = 1, b""
    while block := source.read(PIECE_BYTES):
        rest += block
        # Blank lines at the end stay in rest: only what follows tells whether they end the file or interrupt
        # it.
        whole = rest[: rest.rfind(b"\n") + 1]
        solid = len(whole.rstrip())
        if solid == 0:
            if len(rest) > MAX_LINE_BYTES:
                most = f"{MAX_LINE_BYTES >> 20} MiB"
                raise DataError(f"{source.path}, line {line}: longer than {most}. Is it CSV?")
            continue
        end = whole.index(b"\n", solid) + 1
        piece = whole[:end].replace(b"\r\n", b"\n")
        rest = rest[end:]
        yield line, piece
        line += piece.count(b"\n")
    if rest.strip():
        yield line, rest.rstrip().replace(b"\r\n", b"\n") + b"\n"


def _digits(piece: bytes, width: int) -> np.ndarray | None:
    """(rows, width) int16 when the piece is nothing but integers of one to three digits, else None.

    With p the places of all separators, the units of value k stand at p[k]-1, its tens at p[k]-2 and its
    hundreds at p[k]-3, as far as its length p[k]-p[k-1]-1 reaches.
    """
    text = np.frombuffer(piece, np.uint8)
    ends = np.flatnonzero(text <= COMMA)
    if ends.size == 0 or ends.size % width:
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    if lengths.min() < 1 or lengths.max() > 3:
        return None
    # Every line has `width` columns: the separators are commas but for each width-th, a newline. This also
    # turns away the other characters below the comma.
    separators = text[ends].reshape(-1, width)
    if (separators[:, :-1] != COMMA).any() or (separators[:, -1] != NEWLINE).any():
        return None
    digits = text - ZERO  # wraps to large values for what is no digit; each separator is looked at only as padding
    values = digits[ends - 1].astype(np.int16)
    if values.max() > 9:
        return None
    for place, weight in ((2, 10), (3, 100)):
        has = lengths >= place
        found = digits[np.maximum(ends - place, 0)]
        if (found[has] > 9).any():
            return None
        values += np.where(has, found, 0).astype(np.int16) * np.int16(weight)
    return values.reshape(-1, width)


def _numbers(piece: bytes, width: int, first_line: int, path: str) -> np.ndarray:
    """(rows, width) float64 by numpy.loadtxt; DataError with the line when it cannot be."""
    lines = piece.decode("latin-1").split("\n")[:-1]  # latin-1 never fails: odd bytes become odd characters
    if all(line.strip() for line in lines):
        try:
            table = np.loadtxt(lines, np.float64, comments=None, delimiter=",", ndmin=2)
            if table.shape == (len(lines), width):
                return table
        except ValueError:
            pass  # the walk below finds the line and says it in our words
    for number, line in enumerate(lines, first_line):
        _check_line(line.encode("latin-1"), width, f"{path}, line {number}")
    raise DataError(f"{path}: line {first_line} or one of the {len(lines)} after it is not made of plain numbers")


def _check_line(line: bytes, width: int, where: str) -> None:
    cells = line.split(b",")
    if not line.strip():
        raise DataError(f"{where}: a blank line between samples")
    if len(cells) != width:
        raise DataError(f"{where}: {len(cells)} columns; the first line has {width}")
    for column, cell in enumerate(cells, 1):
        if not _is_number(cell):
            raise DataError(f"{where}, column {column}: not a number: {_show(cell)}")


def _labels(column: np.ndarray, classes: int | None, first_line: int, path: str) -> np.ndarray:
    # NaN fails every comparison, so the test is for good labels. Beyond 2^31 no label is meant, and the
    # number of classes is taken from the largest.
    good = (column >= 0) & (column < (classes or 1 << 31)) & (column == np.floor(column))
    if not good.all():
        row = int(np.argmin(good))
        below = f"below {classes}" if classes else "from 0"
        raise DataError(
            f"{path}, line {first_line + row}: label {column[row]:g}; expected a whole number {below} in column 1"
        )
    return column.astype(np.int64)


def _pixels(table: np.ndarray, first_line: int, path: str) -> np.ndarray:
    """`table` as uint8 when that changes nothing, else as float32."""
    if table.dtype == np.int16:
        return table.astype(np.uint8 if table.max() <= 255 else np.float32)
    with np.errstate(over="ignore"):
        narrow = table.astype(np.float32)
    good = np.isfinite(narrow)
    if not good.all():
        row, column = np.unravel_index(int(np.argmin(good)), good.shape)
        value = table[row, column]
        raise DataError(f"{path}, line {first_line + row}, column {column + 2}: {value:g}; expected a finite float32")
    if narrow.min() >= 0 and narrow.max() <= 255 and (table == np.floor(table)).all():
        return narrow.astype(np.uint8)
    return narrow


def _is_number(cell: bytes) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return b"_" not in cell  # Python reads 1_000, nobody else does


def _show(cell: bytes) -> str:
    return repr(cell[:40].decode("latin-1")) + ("..." if len(cell) > 40 else "")
