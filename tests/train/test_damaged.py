"""Damaged files and files of others: nothing of them gets in."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

import xpnn
from xpnn.errors import CheckpointError
from xpnn.train import checkpoint as files

from .headers import refused


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_damage_gets_in(saved, tmp_path_factory, data):
    """Cut, lengthened, a byte changed, or its header's length lied about: our error, or all is as it was."""
    bad = bytearray(saved)
    how = data.draw(st.sampled_from(["cut", "extend", "flip", "flip in the header", "length"]))
    if how == "cut":
        del bad[data.draw(st.integers(0, len(bad) - 1)) :]
    elif how == "extend":
        bad += data.draw(st.binary(min_size=1, max_size=20))
    elif how == "length":
        bad[:8] = data.draw(st.integers(0, 2**64 - 1)).to_bytes(8, "little")
    else:
        end = len(bad) if how == "flip" else 8 + int.from_bytes(saved[:8], "little")
        bad[data.draw(st.integers(8, end - 1))] ^= data.draw(st.integers(1, 255))
    folder = tmp_path_factory.getbasetemp()
    (folder / "saved.safetensors").write_bytes(saved)
    (folder / "bad.safetensors").write_bytes(bad)
    reference = files.read(folder / "saved.safetensors")
    try:
        contents = files.read(folder / "bad.safetensors")
    except CheckpointError as error:
        assert str(error).isprintable()  # noqa: PT017 - either outcome is right
        return
    for one, other in zip(contents, reference, strict=True):
        if isinstance(one, dict) and any(isinstance(a, np.ndarray) for a in one.values()):
            assert {k: (a.dtype, a.shape, a.tobytes()) for k, a in one.items()} == {
                k: (a.dtype, a.shape, a.tobytes()) for k, a in other.items()
            }
        else:
            assert one == other


@pytest.mark.parametrize(("old", "new"), [(b'step\\": 8', b'step\\": 9'), (b"relu", b"silu"), (b"0.25", b"0.75")])
def test_a_change_in_the_header(saved, tmp_path, old, new):
    assert old in saved
    (tmp_path / "m").write_bytes(saved.replace(old, new, 1))
    assert "checksum" in refused(files.read, tmp_path / "m")


def test_a_flipped_bit_in_a_weight(saved, tmp_path):
    bad = bytearray(saved)
    bad[-3] ^= 1
    (tmp_path / "m").write_bytes(bad)
    with pytest.raises(CheckpointError, match="m: not a checkpoint of xpnn, or damaged: .*checksum"):
        xpnn.load(tmp_path / "m")


@pytest.mark.parametrize("content", [b"", b"PK", b"{}" * 100, b"\xff" * 64])
def test_what_is_no_checkpoint(content, tmp_path):
    (tmp_path / "m").write_bytes(content)
    with pytest.raises(CheckpointError, match="m: not a checkpoint of xpnn, or damaged"):
        xpnn.load(tmp_path / "m")


@pytest.mark.parametrize("header", ["{", "[]", "3", json.dumps({"format": 1}), "[" * 5000])
def test_a_header_that_is_no_header(header, tmp_path):
    save_file({"model/w": np.zeros(3)}, tmp_path / "m", metadata={"xpnn": header})
    with pytest.raises(CheckpointError, match="not a checkpoint of xpnn, or damaged"):
        xpnn.load(tmp_path / "m")


def test_a_later_format(tmp_path):
    save_file({"model/w": np.zeros(3)}, tmp_path / "m", metadata={"xpnn": json.dumps({"format": 99})})
    with pytest.raises(CheckpointError, match="expected checkpoint format 1; got 99. Update xpnn"):
        xpnn.load(tmp_path / "m")


def test_files_of_others_and_files_that_are_not_there(tmp_path):
    save_file({"w": np.zeros(3)}, tmp_path / "m")
    with pytest.raises(CheckpointError, match="not a checkpoint of xpnn"):
        xpnn.load(tmp_path / "m")
    with pytest.raises(CheckpointError, match="there is none"):
        xpnn.load(tmp_path / "nothing")
