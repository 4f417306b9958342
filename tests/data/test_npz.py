from __future__ import annotations

import io
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from xpnn.data import read_npz
from xpnn.errors import DataError


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array)
    return out.getvalue()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "file.npz"


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_x_and_y(path, save):
    x = np.arange(24, dtype=np.float32).reshape(4, 6)
    save(path, x=x, y=np.array([0, 1, 2, 1], np.int32))
    train, test = read_npz(path)
    assert test is None
    np.testing.assert_array_equal(train.x, x)
    assert train.scale == 1.0
    assert train.classes == 3
    assert read_npz(path, classes=7)[0].classes == 7


def test_keras_names_pixels_and_shared_classes(path):
    x = np.arange(36, dtype=np.uint8).reshape(4, 3, 3)
    np.savez(path, x_train=x, y_train=np.array([0, 1, 2, 1]), x_test=x[:2], y_test=np.array([0, 5]))
    train, test = read_npz(path)
    assert train.x.shape == (4, 3, 3, 1)
    assert test.x.shape == (2, 3, 3, 1)
    assert train.scale == pytest.approx(1 / 255)
    assert train.classes == test.classes == 6


def test_fortran_order_and_byte_order(path):
    x = np.asfortranarray(np.arange(6, dtype=">f8").reshape(2, 3))
    np.savez(path, x=x, y=np.array([0, 1], ">i2"))
    train, _ = read_npz(path)
    np.testing.assert_array_equal(train.x, x)
    assert train.x.dtype.isnative
    assert train.y.dtype.isnative


def test_objects_are_never_unpickled(path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("unpickled",))

    np.savez(path, x=np.array([[Bomb()]], object), y=np.array([0]))
    with pytest.raises(DataError, match="expected an array of numbers; got object"):
        read_npz(path)


def write_zip(path, members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({}, "an empty archive"),
        ({"x.npy": npy(np.ones((2, 2)))}, r"expected arrays x, y or x_train.*got 'x.npy'"),
        ({"x.npy": b"", "\n.npy": b""}, r"got '\\n\.npy', 'x\.npy'"),
        ({"x.npy": b"", "y.npy": b""}, "damaged .npy header"),
        ({"x.npy": b"hello world" * 9, "y.npy": b""}, "damaged .npy header"),
        ({"x.npy": npy(np.ones((2, 2)))[:-1], "y.npy": b""}, r"float64 \(2, 2\) needs 160 bytes.*has 159"),
        ({"x.npy": npy(np.ones((2, 2))) + b"z", "y.npy": b""}, r"float64 \(2, 2\) needs 160 bytes.*has 161"),
        ({"x.npy": npy(np.ones((2, 0))), "y.npy": b""}, "no values"),
        ({"x.npy": npy(np.ones(2, "U3")), "y.npy": b""}, "expected an array of numbers"),
        ({"x.npy": npy(np.ones((2, 2))).replace(b"(2, 2)", b"(-2,2)"), "y.npy": b""}, "no values"),
        ({"x.npy": npy(np.ones((2, 2))), "y.npy": npy(np.ones(3, int))}, "2 samples in x but 3 in y"),
        ({"x.npy": npy(np.array(1.0)), "y.npy": npy(np.array(1))}, "expected x"),
    ],
)
def test_wrong_contents(path, members, message):
    write_zip(path, members)
    with pytest.raises(DataError, match=message) as error:
        read_npz(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_other_compressions(path):
    write_zip(path, {"x.npy": npy(np.ones((2, 2))), "y.npy": npy(np.ones(2, int))}, zipfile.ZIP_LZMA)
    with pytest.raises(DataError, match="compression type 14"):
        read_npz(path)


def test_no_zip_at_all(path, tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_npz(path)
    with pytest.raises(DataError, match="expected a regular file"):
        read_npz(tmp_path)
    for content in (b"", b"PK", b"x" * 1000):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"not an \.npz file"):
            read_npz(path)


def test_a_changed_byte_is_noticed(path):
    np.savez(path, x=np.ones((2, 2)), y=np.array([0, 1]))
    content = bytearray(path.read_bytes())
    place = content.index(np.float64(1).tobytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        read_npz(path)


@pytest.mark.parametrize(
    ("zip_agrees", "message"), [(False, "needs 4000000128 bytes"), (True, "cannot hold the promised 4000000128")]
)
def test_a_lying_header_costs_no_memory(path, zip_agrees, message):
    lie = npy(np.zeros((1, 1), np.uint8))
    start = lie.index(b"(1, 1)")
    lie = lie[:start] + b"(40000, 100000), }" + lie[start + 18 :]
    write_zip(path, {"x.npy": lie, "y.npy": npy(np.array([0]))})
    if zip_agrees:  # the uncompressed size in the zip's central directory tells the same lie
        content = path.read_bytes()
        size_at = content.index(b"PK\x01\x02") + 24
        path.write_bytes(content[:size_at] + struct.pack("<I", 4_000_000_128) + content[size_at + 4 :])
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=message):
            read_npz(path)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()
