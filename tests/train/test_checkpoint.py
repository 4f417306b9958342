"""Checkpoints: models come back exact to the bit, files are whole or absent."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.errors import CheckpointError
from xpnn.train import Checkpoint

# Models ---------------------------------------------------------------------------------------------------------------


def test_a_model_comes_back_with_its_layers(make, tmp_path):
    model = make().model
    xpnn.save(model, tmp_path / "m.safetensors")
    again = xpnn.load(tmp_path / "m.safetensors")
    assert nn.describe(again) == nn.describe(model)
    x = np.random.default_rng(0).random((5, 8, 8, 1), dtype=np.float32)
    assert (again.eval()(x).numpy() == model.eval()(x).numpy()).all()


def test_a_model_that_is_built_evaluates_and_one_that_is_given_stays_as_it_was(make, digits, tmp_path):
    trainer = make()
    trainer.fit(digits[0][:64], 1, progress=False)
    xpnn.save(trainer.model, tmp_path / "m")
    built, x = xpnn.load(tmp_path / "m"), digits[1].x[:5] / np.float32(16)
    assert not any(module.training for _, module in built.named_modules())
    assert (built(x).numpy() == trainer.model(x).numpy()).all()
    assert xpnn.load(tmp_path / "m", into=make().model).training


def test_float64_stays_float64(tmp_path):
    xpnn.save(nn.Dense(2, 3).astype("float64"), tmp_path / "m")
    assert xpnn.load(tmp_path / "m").w.dtype == np.float64


def test_it_loads_on_the_backend_in_use(make, tmp_path):
    xpnn.save(make("numba").model, tmp_path / "m")
    with xpnn.use("numpy"):
        assert xpnn.load(tmp_path / "m").backend.name == "numpy"


def test_a_model_of_ones_own(tmp_path):
    class Twin(nn.Module):
        def __init__(self):
            self.parts = {"a": nn.Dense(2, 2), "b": [nn.Dense(2, 2)]}

    model = Twin()
    xpnn.save(model, tmp_path / "m")
    with pytest.raises(CheckpointError, match="build it and use load"):
        xpnn.load(tmp_path / "m")
    other = xpnn.load(tmp_path / "m", into=Twin())
    assert (other.parts["b"][0].w.numpy() == model.parts["b"][0].w.numpy()).all()
    with pytest.raises(CheckpointError, match=r"does not fit: load_state: expected .*missing"):
        xpnn.load(tmp_path / "m", into=nn.Dense(2, 2))


@pytest.mark.parametrize("kind", ["tied", "extra", "deep"])
def test_what_cannot_be_described_goes_into_a_model_of_the_same_making(kind, tmp_path):
    def make():
        layer = nn.Dense(2, 2)
        model = nn.Sequential(layer, layer if kind == "tied" else nn.Dense(2, 2))
        if kind == "extra":
            model.head = nn.Dense(2, 1)
        for _ in range(60 if kind == "deep" else 0):
            model = nn.Sequential(model)
        return model

    model = make()
    xpnn.save(model, tmp_path / "m")
    with pytest.raises(CheckpointError, match="build it and use load"):
        xpnn.load(tmp_path / "m")
    again = xpnn.load(tmp_path / "m", into=make()).state()
    assert all((again[name] == a).all() for name, a in model.state().items())


def test_checkpoints_of_a_run_open_as_models(make, digits, tmp_path):
    make(callbacks=[Checkpoint(tmp_path / "c")]).fit(digits[0], epochs=1, progress=False)
    model = xpnn.load(tmp_path / "c")
    assert model.layers[1].out_features == 32
    xpnn.save(model, tmp_path / "m")
    assert xpnn.load(tmp_path / "m").input_format == {
        "shape": [8, 8, 1],
        "scale": 1 / 16,
        "shift": 0.0,
        "classes": 10,
        "data": "digits",
    }


# Files ----------------------------------------------------------------------------------------------------------------


def test_a_full_disk_leaves_the_old_file_and_nothing_else(make, digits, tmp_path, monkeypatch):
    path = tmp_path / "c.safetensors"
    trainer = make()
    trainer.save(path)
    before = path.read_bytes()
    trainer.fit(digits[0], epochs=1, progress=False)

    def full(fd):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match="cannot be written: no space left on device"):
        trainer.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["c.safetensors"]


def test_a_folder_that_is_not_there(make, tmp_path):
    with pytest.raises(CheckpointError, match="cannot be written"):
        make().save(tmp_path / "no" / "c")


def test_names_that_no_file_can_have(tmp_path):
    for name in ("x" * 300, "a\0b", ""):
        with pytest.raises(CheckpointError):
            xpnn.load(tmp_path / name)
        with pytest.raises(CheckpointError, match="cannot be written"):
            xpnn.save(nn.Flatten(), tmp_path / name if name else "")


def test_no_pickle_anywhere():
    source = Path(xpnn.__file__).parent
    assert not [
        p for p in source.rglob("*.py") if "import pickle" in p.read_text() or "allow_pickle=True" in p.read_text()
    ]
