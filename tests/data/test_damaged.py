"""Property tests: whatever is done to a file, its reader returns a valid set or raises DataError, nothing else."""

from __future__ import annotations

import gzip
import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xpnn.data import Dataset, read_csv, read_idx, read_npz
from xpnn.data.idx import header_of
from xpnn.errors import DataError

rng = np.random.default_rng(0)
IMAGES = rng.integers(0, 256, (6, 4, 4), np.uint8)
LABELS = np.array([0, 1, 2, 0, 1, 2])


def idx_bytes() -> bytes:
    return header_of(IMAGES) + IMAGES.tobytes()


def csv_bytes(values: np.ndarray) -> bytes:
    rows = [",".join(map(str, [label, *row])) for label, row in zip(LABELS, values, strict=True)]
    return "\n".join(["label,pixels", *rows]).replace("label,pixels", "label" + ",p" * 16).encode()


def npz_bytes(save) -> bytes:
    out = io.BytesIO()
    save(out, x=IMAGES, y=LABELS)
    return out.getvalue()


def first_of_npz(path) -> Dataset:
    return read_npz(path)[0]


FILES = {
    "idx": (idx_bytes(), read_idx),
    "idx.gz": (gzip.compress(idx_bytes(), mtime=0), read_idx),
    "csv": (csv_bytes(IMAGES.reshape(6, -1)), read_csv),
    "floats.csv": (csv_bytes(IMAGES.reshape(6, -1) / 7), read_csv),
    "csv.gz": (gzip.compress(csv_bytes(IMAGES.reshape(6, -1)), mtime=0), read_csv),
    "npz": (npz_bytes(np.savez), first_of_npz),
    "compressed.npz": (npz_bytes(np.savez_compressed), first_of_npz),
}


def place(content: bytes) -> st.SearchStrategy[int]:
    # Headers matter most and are short: half of all damage goes to the first 64 and the last 160 bytes.
    n = len(content)
    return st.one_of(st.integers(0, n - 1), st.integers(0, 63), st.integers(max(0, n - 160), n - 1))


@st.composite
def damaged(draw, content: bytes) -> bytes:
    work = bytearray(content)
    for _ in range(draw(st.integers(1, 3))):
        if not work:
            break
        kind = draw(st.sampled_from(["flip", "set", "cut", "extend", "insert", "remove", "swap"]))
        at = min(draw(place(content)), len(work) - 1)
        if kind == "flip":
            work[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "set":
            work[at] = draw(st.sampled_from([0, 0xFF, 0x0A, 0x2C, 0x2D, 0x2E, 0x30, 0x65, 0x80]))
        elif kind == "cut":
            del work[at:]
        elif kind == "extend":
            work += draw(st.binary(min_size=1, max_size=20))
        elif kind == "insert":
            work[at:at] = draw(st.binary(min_size=1, max_size=4))
        elif kind == "remove":
            del work[at : at + draw(st.integers(1, 8))]
        else:
            other = min(draw(place(content)), len(work) - 1)
            work[at], work[other] = work[other], work[at]
    return bytes(work)


def check(path, read) -> None:
    """Read it; the only ways out are a valid result and a one-line DataError that names the file."""
    try:
        result = read(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017 - raising is allowed here, not required
        assert "\n" not in str(error)  # noqa: PT017
        return
    if isinstance(result, Dataset):
        assert len(result.x) == len(result.y) > 0
        assert np.isfinite(result.x).all()
        assert result.classes is None or 0 <= result.labels().min() <= result.labels().max() < result.classes
    else:
        assert result.size > 0


@pytest.mark.parametrize("name", FILES)
def test_the_undamaged_files_are_fine(tmp_path, name):
    content, read = FILES[name]
    (tmp_path / name).write_bytes(content)
    result = read(tmp_path / name)
    assert len(result) == 6


@pytest.mark.parametrize("name", FILES)
def test_damage(tmp_path, name):
    content, read = FILES[name]
    path = tmp_path / name

    @settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(damaged(content))
    def run(bad: bytes) -> None:
        path.write_bytes(bad)
        check(path, read)

    run()


@pytest.mark.parametrize("name", FILES)
def test_every_truncation(tmp_path, name):
    content, read = FILES[name]
    path = tmp_path / name
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if name.endswith("csv"):
            check(path, read)  # a CSV cut at the end of a line, or within its last number, is still a CSV
        else:
            with pytest.raises(DataError):
                read(path)


@pytest.mark.parametrize("name", ["idx", "idx.gz", "npz", "compressed.npz"])
def test_headers_that_lie_allocate_nothing(tmp_path, name):
    content, read = FILES[name]
    path = tmp_path / name

    @settings(max_examples=100, deadline=None)
    @given(st.integers(0, 160), st.binary(min_size=1, max_size=8))
    def run(at: int, lie: bytes) -> None:
        if name == "idx.gz":  # a lie inside, in a wrapper whose sums are right
            inside = idx_bytes()
            path.write_bytes(gzip.compress(inside[:at] + lie + inside[at + len(lie) :], mtime=0))
        else:
            path.write_bytes(content[:at] + lie + content[at + len(lie) :])
        tracemalloc.start()
        try:
            check(path, read)
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()

    run()


@pytest.mark.parametrize("read", [read_idx, read_csv, first_of_npz])
def test_anything_at_all(tmp_path, read):
    path = tmp_path / "file"

    @settings(max_examples=150, deadline=None)
    @given(st.one_of(st.binary(max_size=200), st.text("0123456789,.\n-+enaif \r", max_size=60).map(str.encode)))
    def run(content: bytes) -> None:
        path.write_bytes(content)
        check(path, read)

    run()
