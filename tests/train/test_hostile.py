"""Hostile checkpoints: whatever their headers say, it is a model or one line of ours, and allocates nothing."""

from __future__ import annotations

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import xpnn
from xpnn import nn
from xpnn.errors import CheckpointError
from xpnn.train import checkpoint as files

from .headers import forge, header_of, refused

ODD = st.one_of(
    st.none() | st.booleans() | st.integers(-3, 6) | st.sampled_from([10**7, 2**63, 10**400, math.nan, -math.inf]),
    st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["Sequential", "Flatten", "uniform", "orthogonal", "a\nb\ud800"]),
)
TREES = st.recursive(ODD, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner))


def places(entry):
    """Every (container, key) in a tree of JSON."""
    for key, value in entry.items() if isinstance(entry, dict) else enumerate(entry):
        yield entry, key
        if isinstance(value, (dict, list)):
            yield from places(value)


@given(data=st.data())
@settings(max_examples=300, deadline=None)
def test_no_hostile_header_gets_through(saved, tmp_path_factory, data):
    """Anything in any place of the JSON, with the right checksum: a model, or one line of ours."""
    path = tmp_path_factory.getbasetemp() / "hostile"
    path.write_bytes(saved)
    arrays, header = load_file(path), json.loads(header_of(path))
    del header["sha256"]
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(list(places(header))))
        if data.draw(st.booleans()):
            container[key] = data.draw(TREES)
        elif isinstance(container, dict):
            container[data.draw(st.sampled_from(["type", "layers", "rate", "init"]) | st.text())] = data.draw(TREES)
        else:
            del container[key]
    forge(path, arrays, header)
    try:
        model = xpnn.load(path)
    except CheckpointError as error:
        assert str(error).isprintable()  # noqa: PT017 - either outcome is right
    else:
        assert model.state().keys() == files.read(path).model.keys()


@pytest.mark.parametrize(
    "model",
    [
        {"type": "Dense", "in_features": 10**6, "out_features": 10**7},
        {"type": "Dense", "in_features": 10**18, "out_features": 10**18},
        {"type": "Dense", "in_features": 3, "out_features": -(10**300)},
        {"type": "Sequential", "layers": [{"type": "Dense", "in_features": 10**6, "out_features": 10**7}] * 2},
    ],
)
def test_a_header_that_promises_too_much_allocates_nothing(model, tmp_path, monkeypatch):
    """Not even that much: no layer is made before its arrays are known to be there."""
    monkeypatch.setattr("xpnn.nn.dense.parameter", lambda *args, **settings: pytest.fail("built"))
    arrays = {"model/w": np.zeros((3, 4), np.float32), "model/b": np.zeros(4, np.float32)}
    forge(tmp_path / "m", arrays, {"format": 1, "model": model, "input": {}, "trainer": None})
    assert "does not fit" in refused(xpnn.load, tmp_path / "m")


@pytest.mark.parametrize(
    "arrays",
    [
        {"w": np.zeros((3, 4), np.uint8), "b": np.zeros(4, np.uint8)},
        {"w": np.zeros((3, 4), np.float32), "b": np.zeros(4)},
        {"w": np.zeros((3, 4), np.float32), "b": np.zeros((4, 1), np.float32)},
        {"w": np.zeros((3, 4), np.float32)},
    ],
)
def test_arrays_that_the_described_model_does_not_have(arrays, tmp_path):
    model = {"type": "Dense", "in_features": 3, "out_features": 4}
    arrays = {f"model/{name}": a for name, a in arrays.items()}
    forge(tmp_path / "m", arrays, {"format": 1, "model": model, "input": {}, "trainer": None})
    assert "does not fit" in refused(xpnn.load, tmp_path / "m")


@pytest.mark.parametrize("place", ["model", "input", "trainer"])
@pytest.mark.parametrize(
    ("depth", "message"), [(40, "at most 32 nested"), (450, "at most 200 levels"), (3000, "RecursionError")]
)
def test_a_deep_header(depth, message, place, tmp_path):
    inner = '{"type": "Flatten"}'
    deep = '{"type": "Sequential", "layers": [' * depth + inner + "]}" * depth
    header = {"format": 1, "model": inner, "input": "{}", "trainer": "null", place: deep}
    text = "{" + ", ".join(f'"{key}": {value}' for key, value in header.items()) + "}"
    if depth == 40:
        forge(tmp_path / "m", {}, json.loads(text))
    else:
        save_file({}, tmp_path / "m", metadata={"xpnn": text})
    if depth == 40 and place != "model":
        assert isinstance(xpnn.load(tmp_path / "m"), nn.Flatten)
    else:
        assert message in refused(xpnn.load, tmp_path / "m")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "1" + "0" * 400, "9" * 5000])
def test_numbers_that_no_float_holds(number, tmp_path):
    xpnn.save(nn.Flatten(), tmp_path / "m")
    header = header_of(tmp_path / "m").replace('"input": {', f'"input": {{"scale": {number}')
    assert number in header
    save_file({}, tmp_path / "m", metadata={"xpnn": header})
    assert "expected finite numbers" in refused(files.read, tmp_path / "m")


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "BF16"])
def test_numbers_that_numpy_does_not_have(dtype, tmp_path):
    size = 4 * (2 if dtype == "BF16" else 1)
    announced = {"model/w": {"dtype": dtype, "shape": [4], "data_offsets": [0, size]}}
    text = json.dumps({**announced, "__metadata__": {"xpnn": "{}"}}).encode()
    (tmp_path / "m").write_bytes(struct.pack("<Q", len(text)) + text + bytes(size))
    assert f"got {dtype}" in refused(xpnn.load, tmp_path / "m")
