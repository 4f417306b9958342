from __future__ import annotations

import gzip
import time

import numpy as np
import pytest

from xpnn.data import csvfile, read_csv
from xpnn.errors import DataError


@pytest.fixture
def put(tmp_path):
    def write(text: str | bytes):
        path = tmp_path / "file.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def lines(y, x) -> str:
    return "".join(",".join(map(str, [label, *row])) + "\n" for label, row in zip(y, x, strict=True))


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return rng.integers(0, 10, 30), rng.integers(0, 256, (30, 16))


@pytest.mark.parametrize("start", ["", "label," + ",".join(f"p{k}" for k in range(16)) + "\n", "\ufeff"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("end", ["", "\n", "\n\n"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["raw", "gzip"])
def test_pixels_become_images(put, images, start, newline, end, pack):
    y, x = images
    text = (start + lines(y, x).rstrip("\n") + end).replace("\n", newline)
    data = read_csv(put(pack(text.encode())))
    assert data.x.shape == (30, 4, 4, 1)
    assert data.x.dtype == np.uint8
    assert data.y.dtype == np.int64
    assert data.scale == pytest.approx(1 / 255)
    np.testing.assert_array_equal(data.flat().x, x)
    np.testing.assert_array_equal(data.y, y)
    assert data.classes == y.max() + 1


@pytest.mark.parametrize("piece_bytes", [1, 7, 64, 1000])
def test_pieces_of_any_size_give_the_same(put, images, monkeypatch, piece_bytes):
    y, x = images
    monkeypatch.setattr(csvfile, "PIECE_BYTES", piece_bytes)
    data = read_csv(put("label,and more" + "," * 15 + "\n" + lines(y, x)))
    np.testing.assert_array_equal(data.flat().x, x)
    np.testing.assert_array_equal(data.y, y)


def test_both_parsers_agree_on_digits(images):
    y, x = images
    piece = lines(y, x).encode()
    np.testing.assert_array_equal(csvfile._digits(piece, 17), csvfile._numbers(piece, 17, 1, "f"))


@pytest.mark.parametrize(
    "piece",
    [
        *(b"1,2\n3,4,\n", b"1,2\n3\n", b"1;2\n3,4\n", b"1,2,3,4\n", b"1\n2,3,\n", b"1,1234\n", b"1,-2\n"),
        *(b"1,2.\n", b"1,+2\n", b"1, 2\n", b"1,a\n", b"1,a2\n", b"1,:22\n", b"1,/\n", b"1,\n", b",1\n", b"\xff,1\n"),
    ],
)
def test_the_fast_parser_takes_nothing_but_digits(piece):
    assert csvfile._digits(piece, 2) is None


def test_floats_and_features(put):
    data = read_csv(put("1,0.5,-2e3,7\n0, 1 ,2,3\n"))
    assert data.x.dtype == np.float32
    assert data.scale == 1.0
    np.testing.assert_array_equal(data.x, np.array([[0.5, -2000, 7], [1, 2, 3]], np.float32))
    assert read_csv(put("1,256,2,3,4\n")).x.shape == (1, 4)
    assert read_csv(put("1,256,2,3,4\n")).x.dtype == np.float32
    assert read_csv(put("1,1000,2,3,4\n")).x[0, 0] == 1000
    assert read_csv(put("1,1,2,3\n")).x.dtype == np.float32
    assert read_csv(put("1.0,1.0,2,3.0,255\n")).x.dtype == np.uint8


def test_one_late_float_makes_the_whole_set_float(put, images, monkeypatch):
    y, x = images
    monkeypatch.setattr(csvfile, "PIECE_BYTES", 64)
    data = read_csv(put(lines(y, x) + "3," + ",".join(["0.5"] * 16) + "\n"))
    assert data.x.dtype == np.float32
    assert data.x.shape == (31, 16)
    np.testing.assert_array_equal(data.x[:30], x)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n4,5\n", "line 2: 2 columns; the first line has 3"),
        ("1,2,3\n4,5,6,7\n", "line 2: 4 columns; the first line has 3"),
        ("label,a,b\n1,2,3\n\n4,5,6\n", "line 3: a blank line"),
        ("1,2,3\n4,x,6\n", "line 2, column 2: not a number: 'x'"),
        ("1,2,3\n4,,6\n", "line 2, column 2: not a number: ''"),
        ("1,2,3\n4,1_0,6\n", "line 2, column 2: not a number: '1_0'"),
        ("1,2,x\n", "line 1, column 3: not a number: 'x'"),
        ("1,2,3\n4,nan,6\n", "line 2, column 2: nan; expected a finite"),
        ("1,2,3\n4,5,-inf\n", "line 2, column 3: -inf; expected a finite"),
        ("1,2,3\n4,5,1e300\n", r"line 2, column 3: 1e\+300; expected a finite float32"),
        ("1,2,3\n-4,5,6\n", "line 2: label -4; expected a whole number from 0"),
        ("1,2,3\n1.5,5,6\n", "line 2: label 1.5; expected a whole number"),
        ("1,2,3\nnan,5,6\n", "line 2: label nan"),
        ("1,2,3\n1e30,5,6\n", r"line 2: label 1e\+30"),
        ("label,a,b\n", "no samples, only a header"),
        ("label,a,b", "no samples, only a header"),
        ("\n \n\n", "no samples, only blank lines"),
        ("1,2,3\n\n \n\n\n4,5,6\n\n", "line 2: a blank line"),
        ("\n1,2\n", "line 1: expected label,p0,p1"),
        ("words\n", "line 1: expected label,p0,p1"),
        ("", "empty"),
        ("1,2,3\n4,5,\xff\n", "line 2, column 3: not a number"),
        ("1,2,3\n4,5,6\0\n", "line 2, column 3: not a number"),
    ],
)
@pytest.mark.parametrize("piece_bytes", [4, 1 << 22])
def test_errors_name_file_and_line(put, monkeypatch, text, message, piece_bytes):
    monkeypatch.setattr(csvfile, "PIECE_BYTES", piece_bytes)
    path = put(text)
    with pytest.raises(DataError, match=message) as error:
        read_csv(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_beyond_the_classes(put):
    assert read_csv(put("2,1\n"), classes=5).classes == 5
    with pytest.raises(DataError, match="line 3: label 7; expected a whole number below 5"):
        read_csv(put("label,a\n2,1\n7,1\n"), classes=5)


def test_a_line_without_end_is_given_up(put, monkeypatch):
    monkeypatch.setattr(csvfile, "MAX_LINE_BYTES", 10_000)
    monkeypatch.setattr(csvfile, "PIECE_BYTES", 1_000)
    with pytest.raises(DataError, match="line 1: longer than"):
        read_csv(put(gzip.compress(b"1" * 1_000_000)))


def test_speed_of_pixels(put):
    rows = 6000
    text = (",".join(["7"] + ["0", "128", "9", "255"] * 196) + "\n") * rows
    start = time.perf_counter()
    data = read_csv(put(text))
    assert data.x.shape == (rows, 28, 28, 1)
    assert time.perf_counter() - start < 3.0  # a tenth of MNIST; takes about 0.15 s on an idle machine
