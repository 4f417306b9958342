"""Targets that do not belong to the loss: an error, never plausible numbers."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn
from xpnn.data import from_arrays
from xpnn.errors import DataError, ShapeError

X = np.random.default_rng(0).normal(size=(12, 4)).astype("f4")
ONE, THREE = np.linspace(0, 99, 12)[:, None], np.linspace(-3, 3, 36).reshape(12, 3)
SHARES = np.eye(3)[np.arange(12) % 3] * 0.8 + 0.1


def trainer(outputs, loss="cross_entropy", **settings):
    return xpnn.Trainer(nn.Sequential(nn.Dense(4, outputs)), "sgd", loss=loss, **settings)


@pytest.mark.parametrize("loss", ["cross_entropy", losses.get("cross_entropy", label_smoothing=0.1)])
@pytest.mark.parametrize(("y", "got"), [(ONE, "from 0 to 99"), (ONE / 99, "from 0 to 1"), (THREE, "from -3 to 3")])
def test_cross_entropy_of_numbers(y, got, loss):
    bad, model = from_arrays(X, y), trainer(y.shape[1], loss)
    with pytest.raises(DataError, match=f"{got}. Numbers. loss='mean_squared_error'"):
        model.fit(bad, 1, progress=False)
    with pytest.raises(DataError, match=got):
        model.evaluate(bad)
    with pytest.raises(DataError, match=got):
        model.fit(from_arrays(X, np.arange(12) % y.shape[1]), 1, validation=bad, progress=False)
    assert model.step == 0


def test_what_belongs_together_is_taken():
    assert np.isfinite(trainer(3).fit(from_arrays(X, SHARES), 1, progress=False)["loss"]).all()
    for loss in ("mean_squared_error", lambda y, t: (y - t).abs().mean()):
        assert np.isfinite(trainer(1, loss).fit(from_arrays(X, ONE), 1, progress=False)["loss"]).all()


def test_whole_numbers_to_be_met_are_told_how():
    """They became labels (N,): the way out is one of the data set."""
    with pytest.raises(ShapeError, match=r"of a Dataset y\.astype\('float32'\)\[:, None\]"):
        trainer(1, "mean_squared_error").fit(from_arrays(X, np.arange(12)), 1, progress=False)
