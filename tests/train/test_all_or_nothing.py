"""A checkpoint that cannot be taken over leaves the training as it was."""

from __future__ import annotations

import json
from functools import partial

import pytest

import xpnn
from xpnn.errors import CheckpointError
from xpnn.optim import schedule
from xpnn.train import EarlyStopping
from xpnn.train import checkpoint as files

from .conftest import Keeps, StopAt


class Fails(Keeps):
    """Takes its state, and then finds that it cannot."""

    def load_state(self, state, arrays):
        super().load_state(state, arrays)
        if self.value == 2:
            raise RuntimeError("no")


def everything(trainer):
    state = {key: value for key, value in trainer.state().items() if key not in ("run",)}
    return json.dumps(state), trainer.model.input_format, trainer.optimizer.lr, trainer.stop


def test_a_callback_that_fails(make, digits, tmp_path):
    plateau = partial(schedule.Plateau, patience=1)
    first = make(callbacks=[EarlyStopping("loss"), Fails(2), StopAt(30)], schedule=plateau(), metrics="accuracy")
    first.fit(digits[0], 3, progress=False)
    first.save(tmp_path / "c")
    other = make(callbacks=[EarlyStopping("loss"), Fails(), StopAt(7)], schedule=plateau(), metrics="accuracy")
    other.fit(digits[1], 2, progress=False)
    other._settings = None
    xpnn.seed(4)
    before, weights, moments = everything(other), other.model.state(), other.optimizer.state()
    with pytest.raises(CheckpointError, match=r"does not fit this training: Fails\.load_state: RuntimeError: no"):
        other.resume(tmp_path / "c")
    assert everything(other) == before
    assert all((other.model.state()[k] == v).all() for k, v in weights.items())
    assert all((other.optimizer.state()[k] == v).all() for k, v in moments.items())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("epoch", "1"),
        ("epoch", 1.5),
        ("step", -1),
        ("batch", None),
        ("stop", 0),
        ("run", []),
        ("run", {"last": "3"}),
        ("history", {}),
        ("history", [1]),
        ("history", [{"loss": "x"}]),
        ("random", [1, 2, 3]),
        ("random", [1, 2, 3, 1 << 32]),
        ("random", [1, 2, 3, 0.5]),
        ("callbacks", [["FiniteGuard"]]),
        ("callbacks", {}),
        ("meter", {}),
        ("meter", {"total": "x", "samples": 1, "metrics": []}),
        ("schedule_state", {"best": 1}),
    ],
)
def test_a_header_with_a_wrong_entry(make, tmp_path, monkeypatch, name, value):
    trainer = make()
    trainer.save(tmp_path / "c")
    before = everything(trainer)
    contents = files.read(tmp_path / "c")
    contents.trainer[name] = value
    monkeypatch.setattr(files, "read", lambda path: contents)
    with pytest.raises(CheckpointError, match="does not fit this training: "):
        trainer.resume(tmp_path / "c")
    assert everything(trainer) == before


def test_a_header_that_lacks_an_entry(make, tmp_path, monkeypatch):
    trainer = make()
    trainer.save(tmp_path / "c")
    contents = files.read(tmp_path / "c")
    del contents.trainer["optimizer_settings"]
    monkeypatch.setattr(files, "read", lambda path: contents)
    with pytest.raises(CheckpointError, match="does not fit this training: no 'optimizer_settings'"):
        trainer.resume(tmp_path / "c")
