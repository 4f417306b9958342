"""Targets that do not belong to the loss: an error, never plausible numbers."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, metrics, nn
from xpnn.data import from_arrays
from xpnn.errors import ConfigError, DataError, ShapeError

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


@pytest.mark.parametrize("name", ["accuracy", "f1", "confusion_matrix"])
@pytest.mark.parametrize("loss", ["mean_squared_error", "half_sum_of_squares", "l1", losses.get("huber", delta=0.5)])
def test_one_output_between_0_and_1_is_not_told_apart_at_0(loss, name):
    yes = from_arrays(X, (X[:, :1] > 0).astype("f4"))
    with pytest.raises(
        ConfigError, match=rf"{name}: one output above 0 .* from 0 to 1\. Classes\? xpnn\.metrics\..*=0\.5\)"
    ):
        trainer(1, loss, metrics=[name]).fit(yes, 1, progress=False)


def test_thresholds_that_fit():
    yes, signs = (from_arrays(X, np.where(X[:, :1] > 0, 1.0, no)) for no in (0, -1))
    squares = "mean_squared_error"
    half = trainer(1, squares, metrics=[metrics.Accuracy(threshold=0.5)])
    half.fit(yes, 300, progress=False)
    assert half.evaluate(yes)["accuracy"] == ((half.predict(X) > 0.5) == yes.y).mean()
    trainer(1, squares, metrics=["accuracy"]).fit(signs, 1, validation=signs[signs.y[:, 0] > 0], progress=False)
    trainer(1, squares, metrics=["roc_auc"]).fit(yes, 1, progress=False)
    trainer(1, "binary_cross_entropy", metrics=["accuracy"]).fit(yes, 1, progress=False)
    trainer(3, squares, metrics=["accuracy"]).fit(from_arrays(X, SHARES), 1, progress=False)


def test_whole_numbers_to_be_met_are_told_how():
    """They became labels (N,): the way out is one of the data set."""
    with pytest.raises(ShapeError, match=r"of a Dataset y\.astype\('float32'\)\[:, None\]"):
        trainer(1, "mean_squared_error").fit(from_arrays(X, np.arange(12)), 1, progress=False)


@pytest.mark.parametrize(
    ("last", "loss", "inside"),
    [
        (nn.Dense(4, 1, activation="sigmoid"), "binary_cross_entropy", "sigmoid"),
        (nn.Activation("sigmoid"), losses.binary_cross_entropy, "sigmoid"),
        (nn.Activation("softmax"), losses.get("cross_entropy", label_smoothing=0.1), "softmax"),
    ],
)
def test_nothing_is_squashed_twice(last, loss, inside):
    refused = rf"contains the {inside}, .* {type(last).__name__}, adds another.*xpnn\.ops\.{inside}"
    for model in (last, nn.Sequential(nn.Flatten(), last)):
        with pytest.raises(ConfigError, match=refused):
            xpnn.Trainer(model, "sgd", loss=loss)


def test_a_label_that_is_one_too_large():
    """The first without an output, and the last with one."""
    with pytest.raises(DataError, match="label 3 has no output: the model has 3, of the labels from 0 on"):
        trainer(3).evaluate(from_arrays(X, np.arange(12) % 4))
    assert np.isfinite(trainer(4).evaluate(from_arrays(X, np.arange(12) % 4))["loss"])
