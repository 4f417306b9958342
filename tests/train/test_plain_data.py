"""What a checkpoint keeps besides arrays: plain data, all numbers among them, and nothing that would not come back."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from xpnn import nn
from xpnn.errors import ConfigError
from xpnn.train import Callback, Checkpoint
from xpnn.train import checkpoint as files

from .conftest import Keeps
from .headers import header_of, refused


def test_numbers_that_are_not_finite_are_kept(tmp_path):
    """A diverged validation loss is no reason to lose a training, and JSON has no NaN."""
    rows = [{"epoch": 1, "val_loss": math.inf, "val_auc": math.nan, "loss": -math.inf, "lr": 1e-3}]
    files.write(tmp_path / "c", nn.Flatten(), {"model": {}}, {"history": rows})
    json.loads(header_of(tmp_path / "c"), parse_constant=pytest.fail)
    assert repr(files.read(tmp_path / "c").trainer) == repr({"history": rows})


def test_numbers_of_numpy(make, digits, tmp_path):
    def trainer():
        return make(callbacks=Keeps({"a": np.float32(0.5), "b": [np.int64(3), np.bool_(True)]}))

    trainer().save(tmp_path / "c")
    second = trainer()
    second.resume(tmp_path / "c")
    assert second.callbacks[1].value == {"a": 0.5, "b": [3, True]}


@pytest.mark.parametrize("odd", [object(), 10**400, np.float32(1), "deep"], ids=["object", "huge", "numpy", "deep"])
def test_a_state_that_would_not_come_back_is_not_written(tmp_path, odd):
    if odd == "deep":
        for _ in range(300):
            odd = [odd]
    message = refused(files.write, tmp_path / "c", nn.Flatten(), {"model": {}}, {"callbacks": odd})
    assert "cannot be written: expected plain data" in message
    assert not list(tmp_path.iterdir())


def test_what_json_has_not(make, tmp_path):
    with pytest.raises(ConfigError, match="Keeps.state: expected numbers, .*; got ndarray. Arrays belong in"):
        make(callbacks=Keeps(np.zeros(3))).save(tmp_path / "c")
    with pytest.raises(ConfigError, match="Keeps.state: .*; got set"):
        make(callbacks=Keeps({1})).save(tmp_path / "c")
    assert not list(tmp_path.iterdir())


def test_rows_with_more_than_numbers(make, digits, tmp_path):
    class Note(Callback):
        def on_epoch_end(self, trainer, row):
            row["share"], row["note"] = np.float32(0.5), "good"

    with pytest.raises(ConfigError, match="history: expected numbers in its rows; got 'note': 'good'"):
        make(callbacks=[Note(), Checkpoint(tmp_path / "c")]).fit(digits[0], 1, progress=False)
