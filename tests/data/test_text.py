"""Texts: how they are cut into streams and windows, and files that are none."""

from __future__ import annotations

import gzip
import math

import numpy as np
import pytest

from xpnn import data
from xpnn.data import text as texts
from xpnn.errors import ConfigError, DataError

STORY = "".join(chr(97 + i) for i in np.random.default_rng(0).integers(0, 26, 1001))


def test_every_window_continues_the_one_in_its_row_of_the_batch_before():
    train = texts.windows(STORY, sequence=10, streams=4)
    K = 1000 // 40
    assert train.x.shape == train.y.shape == (4 * K, 10)
    assert (train.streams, train.classes, train.characters) == (4, 26, "abcdefghijklmnopqrstuvwxyz")
    batches = train.x.reshape(K, 4, 10)
    for n in range(4):
        said = texts.decode(batches[:, n].ravel(), train.characters)
        assert said == STORY[n * K * 10 : (n + 1) * K * 10]
        follows = texts.decode(train.y.reshape(K, 4, 10)[:, n].ravel(), train.characters)
        assert follows == STORY[n * K * 10 + 1 : (n + 1) * K * 10 + 1]


def test_every_character_that_fits_is_used_once():
    train = texts.windows(STORY[:100], sequence=10, streams=3)
    assert train.x.size == 90
    by_stream = train.x.reshape(3, 3, 10).transpose(1, 0, 2).ravel()
    assert texts.decode(by_stream, train.characters) == STORY[:90]


def test_read_text(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text(STORY[:870] + "Zoë" * 40, encoding="utf-8")
    train, test = data.read_text(path, sequence=5, streams=8)
    assert "Z" in train.characters  # a tenth, 99 of the 990 characters, is for testing
    assert (train.x.shape, test.x.shape) == ((22 * 8, 5), (1, 98))
    assert (test.characters, test.streams, test.name) == (train.characters, 1, str(path))
    assert train.format["characters"] == train.characters
    zipped = tmp_path / "a.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert np.array_equal(data.read_text(zipped, 5, 8)[0].x, train.x)


def test_what_is_held_out_is_cut_into_fewer_and_longer_windows():
    test = texts.held_out(STORY, "abcdefghijklmnopqrstuvwxyz", sequence=10, streams=8)
    assert (test.streams, test.x.shape) == (2, (2 * 5, 100))
    assert texts.decode(test.x.reshape(5, 2, 100)[:, 1].ravel(), test.characters) == STORY[500:1000]


@pytest.mark.parametrize("length", [299, 300, 301, 400, 555, 998, 1000, 1001])
def test_hardly_anything_of_what_is_held_out_is_left_over(length):
    test = texts.held_out(STORY[:length], "abcdefghijklmnopqrstuvwxyz", sequence=10, streams=8)
    assert test.x.shape[1] >= 100
    assert length - 1 - len(test) < test.x.size <= length - 1


@pytest.mark.parametrize(("length", "shape"), [(100, (1, 99)), (51, (1, 50)), (50, (1, 49)), (2, (1, 1))])
def test_of_a_short_text_all_is_used(length, shape):
    assert texts.held_out(STORY[:length], "abcdefghijklmnopqrstuvwxyz", sequence=5, streams=8).x.shape == shape


def test_characters_that_training_does_not_have_are_left_out_of_the_test():
    test = texts.held_out("a€b" * 20, "ab", sequence=1, streams=4)
    assert texts.decode(test.x.ravel(), "ab") == "ab" * 19 + "a"
    with pytest.raises(DataError, match="0 characters"):
        texts.held_out("€", "ab", sequence=1, streams=4)


def test_encode_and_decode():
    characters = "".join(sorted({*"hello, wörld €\n\U0001f600"}))
    ids = texts.encode("hello \U0001f600", characters)
    assert ids.dtype == np.int64
    assert texts.decode(ids, characters) == "hello \U0001f600"
    assert texts.encode("", characters).shape == (0,)
    with pytest.raises(DataError, match=r"the vocabulary has no 'X', '\\udc80', '~'"):
        texts.encode("hXe\udc80~X", characters)


def test_a_byte_order_mark_and_line_ends_of_windows_are_no_characters(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"\xef\xbb\xbfone\r\ntwo\r\n")
    assert texts.open_text(path) == "one\ntwo\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"caf\xe9 noir", "expected UTF-8 text; byte 3 does not fit"),
        (b"a\0b", "expected text; character 1 is NUL"),
        (b"ab", "2 characters are too few to hold back"),
        (b"abcdefghij" * 5, "45 characters; 32 streams of 100 need 3201. Take fewer streams"),
    ],
)
def test_files_that_are_no_text_or_too_short(tmp_path, content, message):
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as error:
        data.read_text(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


def test_a_file_without_end_is_not_read_to_its_end(tmp_path, monkeypatch):
    monkeypatch.setattr(texts, "MOST_BYTES", 1 << 20)
    path = tmp_path / "bomb.txt.gz"
    path.write_bytes(gzip.compress(b"a" * (1 << 22)))
    with pytest.raises(DataError, match="longer than 1 MiB"):
        texts.open_text(path)


@pytest.mark.parametrize(
    "settings", [{"sequence": 0}, {"streams": -1}, {"streams": 2.0}, {"test": 1}, {"test": math.nan}]
)
def test_settings_out_of_range(tmp_path, settings):
    (tmp_path / "a.txt").write_text(STORY)
    with pytest.raises(ConfigError, match="text: expected"):
        data.read_text(tmp_path / "a.txt", **settings)


def test_a_part_of_a_text_is_no_stream():
    train = texts.windows(STORY, sequence=10, streams=4)
    assert train[:6].streams == 0
    assert train.split(0.5)[0].streams == 0


def test_load_says_how_texts_are_read(tmp_path):
    (tmp_path / "a.txt").write_text(STORY)
    with pytest.raises(DataError, match=r"A text is read by xpnn\.data\.read_text"):
        data.load(tmp_path / "a.txt")
