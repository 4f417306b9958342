from __future__ import annotations

import errno
import gzip
import os
import struct
import tracemalloc

import numpy as np
import pytest

from xpnn.data import read_idx, write_idx
from xpnn.errors import DataError


def header(*shape: int, code: int = 0x08) -> bytes:
    return struct.pack(f">BBBB{len(shape)}I", 0, 0, code, len(shape), *shape)


@pytest.fixture
def put(tmp_path):
    def write(content: bytes):
        path = tmp_path / "file.idx"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize("dtype", ["u1", "i1", "i2", "i4", "f4", "f8"])
@pytest.mark.parametrize("shape", [(5,), (3, 2), (4, 3, 2), (2, 2, 2, 2)])
@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
def test_what_is_written_is_read(tmp_path, dtype, shape, name):
    array = (np.arange(np.prod(shape)).reshape(shape) - (dtype != "u1") * 3).astype(dtype)
    write_idx(tmp_path / name, array)
    back = read_idx(tmp_path / name)
    assert back.dtype == np.dtype(dtype)
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable
    assert os.listdir(tmp_path) == [name]


def test_bytes_are_those_of_the_format(tmp_path):
    write_idx(tmp_path / "a", np.array([[1, -2]], np.int16))
    assert (tmp_path / "a").read_bytes() == bytes.fromhex("00000b02 00000001 00000002 0001 fffe")


def test_gzip_is_told_by_content_not_by_name(tmp_path):
    write_idx(tmp_path / "a.gz", np.arange(4, dtype=np.uint8), compress=False)
    write_idx(tmp_path / "b", np.arange(4, dtype=np.uint8), compress=True)
    assert (tmp_path / "b").read_bytes()[:2] == b"\x1f\x8b"
    np.testing.assert_array_equal(read_idx(tmp_path / "a.gz"), read_idx(tmp_path / "b"))


def test_the_same_array_gives_the_same_gzip_file(tmp_path):
    for name in ("a.gz", "b.gz"):
        write_idx(tmp_path / name, np.arange(4, dtype=np.uint8))
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()


def test_non_contiguous_and_big_endian_arrays(tmp_path):
    array = np.arange(12, dtype=">i4").reshape(3, 4).T
    write_idx(tmp_path / "a", array)
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), array)


@pytest.mark.parametrize("wrap", [bytes, gzip.compress], ids=["raw", "gzip"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\0\0", "truncated: the IDX magic number needs 4 bytes"),
        (b"PNG!" + bytes(20), "not an IDX file: byte 0 starts with 504e4721"),
        (header(2, code=0x0A) + b"ab", "unknown element type 0x0a at byte 2"),
        (b"\0\0\x08\0", "0 dimensions at byte 3"),
        (b"\0\0\x08\xff" + bytes(1020), "255 dimensions at byte 3"),
        (b"\0\0\x08\x03\0\0", "truncated: the IDX header needs 12 bytes, the file ends at byte 6"),
        (header(0), "no values at all"),
        (header(3, 0, 2), "no values at all"),
        (header(5) + b"abcd", "truncated"),
        (header(5) + b"abcdef", "oversized"),
    ],
)
def test_not_exactly_one_array(put, wrap, content, message):
    path = put(wrap(content))
    with pytest.raises(DataError, match=message) as error:
        read_idx(path)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_truncation_is_given_as_sizes_and_offsets(put):
    with pytest.raises(DataError, match=r"shape \(5,\) at byte 4 promises 13 bytes, the file has 12"):
        read_idx(put(header(5) + b"abcd"))
    with pytest.raises(DataError, match=r"shape \(5,\) ends at byte 13, but the file goes on to byte 15"):
        read_idx(put(header(5) + b"abcdefg"))
    with pytest.raises(DataError, match="ends at byte 12 of the decompressed data, 1 short"):
        read_idx(put(gzip.compress(header(5) + b"abcd")))
    with pytest.raises(DataError, match="ends at byte 13 of the decompressed data, but more bytes follow"):
        read_idx(put(gzip.compress(header(5) + b"abcdef")))


def test_damaged_gzip(put):
    whole = gzip.compress(header(300) + bytes(range(256)) + bytes(44))
    with pytest.raises(DataError, match="truncated gzip stream"):
        read_idx(put(whole[:-9]))
    crc = bytearray(whole)
    crc[-8] ^= 1
    with pytest.raises(DataError, match=r"damaged gzip stream.*CRC"):
        read_idx(put(bytes(crc)))
    with pytest.raises(DataError, match="damaged gzip stream"):
        read_idx(put(whole + b"junk"))


def test_swapped_files(put):
    with pytest.raises(DataError, match=r"expected 3 dimensions \(images\), got 1 dimension \(labels\)"):
        read_idx(put(header(2) + b"ab"), expect_ndim=3)


def peak_bytes(path) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(DataError):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_lying_header_costs_no_memory(put):
    lie = header(60000, 1000, 1000)  # 60 GB
    assert peak_bytes(put(lie + bytes(100))) < 1 << 20
    assert peak_bytes(put(gzip.compress(lie + bytes(100)))) < 1 << 20
    assert peak_bytes(put(header(*[0xFFFFFFFF] * 32) + bytes(100))) < 1 << 20


def test_a_lie_within_what_gzip_could_hold_costs_what_is_there(put):
    noise = np.random.default_rng(0).bytes(1 << 16)
    path = put(gzip.compress(header(60_000_000) + noise))
    assert peak_bytes(path) < 4 << 20


def test_a_gzip_bomb_stops_at_the_promised_size(put):
    path = put(gzip.compress(header(10) + bytes(200 << 20)))
    assert peak_bytes(path) < 8 << 20


@pytest.mark.parametrize("dtype", ["u2", "i8", "f2", "c8", "U3", "O"])
def test_types_that_idx_does_not_have(tmp_path, dtype):
    with pytest.raises(DataError, match="expected one of uint8"):
        write_idx(tmp_path / "a", np.ones(3, dtype))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("shape", [(), (0,), (3, 0)])
def test_shapes_that_idx_does_not_have(tmp_path, shape):
    with pytest.raises(DataError, match="non-empty dimensions"):
        write_idx(tmp_path / "a", np.ones(shape, np.uint8))


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_no_new_one(tmp_path, monkeypatch, step):
    write_idx(tmp_path / "a", np.arange(3, dtype=np.uint8))

    def fail(*args):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, step, fail)
    with pytest.raises(DataError, match="cannot be written: no space left on device"):
        write_idx(tmp_path / "a", np.zeros(9, np.uint8))
    assert os.listdir(tmp_path) == ["a"]
    np.testing.assert_array_equal(read_idx(tmp_path / "a"), [0, 1, 2])


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full, the kernel's own full disk")
def test_a_disk_that_is_really_full(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 1)
    os.symlink("/dev/full", tmp_path / ".a.1.tmp")
    with pytest.raises(DataError, match="no space left on device"):
        write_idx(tmp_path / "a", np.zeros(1 << 20, np.uint8))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(DataError, match="cannot be written: not a directory"):
        write_idx(tmp_path / "file" / "a", np.zeros(9, np.uint8))


def test_things_that_are_no_files(tmp_path, put):
    with pytest.raises(DataError, match="no such file"):
        read_idx(tmp_path / "absent")
    with pytest.raises(DataError, match="this is a folder"):
        read_idx(tmp_path)
    with pytest.raises(DataError, match="empty"):
        read_idx(put(b""))
    with pytest.raises(DataError, match="null"):
        read_idx("a\0b")
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DataError, match="special file"):
        read_idx(tmp_path / "fifo")


def test_a_file_without_permission(put, monkeypatch):
    path = put(header(1) + b"a")

    def refuse(*args, **kwargs):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(DataError, match="cannot be read: permission denied"):
        read_idx(path)
