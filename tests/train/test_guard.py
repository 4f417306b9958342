"""The guard without a pause: from the first loss that is not finite on, no step changes anything."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from cuda_cpu import build, standin
from xpnn import nn, optim
from xpnn.data import Dataset
from xpnn.errors import DataError, NumericError
from xpnn.train import Callback, Checkpoint, FiniteGuard

from .conftest import StopAt


@pytest.fixture(params=["numpy", "numba", "cuda"])
def place(request):
    if request.param != "cuda":
        yield request.param
    elif build.missing() is not None:
        pytest.skip(str(build.missing()))
    else:
        with standin.installed(standin.load()):
            yield request.param


class Look(Callback):
    def on_loss(self, trainer, x, loss): ...


def trainer_of(place, optimizer, *callbacks):
    xpnn.seed(1)
    model = nn.Sequential(nn.Dropout(0.2), nn.Dense(6, 3))
    return xpnn.Trainer(model.to(place), optimizer, metrics=["accuracy"], callbacks=list(callbacks))


def data_of(bad):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 6)).astype("f4"), rng.integers(0, 3, 64)
    if bad is not None:
        y[bad] = 7  # the loss of such a label is NaN
    return Dataset(x, y)


@pytest.mark.parametrize("pauses", [False, True], ids=["whole", "with a pause"])
@pytest.mark.parametrize("kind", [optim.SGD, optim.Momentum, optim.AdaGrad, optim.RMSProp, optim.Adam])
def test_the_weights_are_those_before_the_step(place, kind, pauses):
    """Step 4 of 8 has the bad sample, and is a replay; the guard looks at the end of the epoch alone."""
    looks = [Look()] * pauses
    until, whole = (trainer_of(place, kind(lr=0.01), *looks, c) for c in (StopAt(4), FiniteGuard(every=1000)))
    until.fit(data_of(None), 1, batch_size=8, shuffle=False, progress=False)
    expected = r"the loss is nan in epoch 1, step 4 \(seen at step 7\): label 7 has no output: the data has 8 classes"
    with np.errstate(all="ignore"), pytest.raises(NumericError, match=expected):
        whole.fit(data_of(35), 1, batch_size=8, shuffle=False, progress=False)
    assert whole.step == until.step == 4
    for name, array in until.model.state().items():
        if not name.endswith("stream"):  # dropout has drawn further masks
            np.testing.assert_array_equal(whole.model.state()[name], array, name)
    for name, array in until.optimizer.state().items():
        np.testing.assert_array_equal(whole.optimizer.state()[name], array, name)


def test_where_training_is_interrupted(place):
    trainer = trainer_of(place, "adam", FiniteGuard(every=1000), StopAt(7))
    with np.errstate(all="ignore"), pytest.raises(NumericError, match=r"step 4 \(seen at step 6\): label 7 has no"):
        trainer.fit(data_of(35), 1, batch_size=8, shuffle=False, progress=False)


def test_a_run_that_goes_on_from_there_is_told(tmp_path):
    settings = {"epochs": 1, "batch_size": 8, "shuffle": False, "progress": False}
    saver = Checkpoint(tmp_path / "{step}", every_steps=6)
    with np.errstate(all="ignore"):
        with pytest.raises(NumericError):
            trainer_of("numba", "adam", FiniteGuard(every=1000), saver).fit(data_of(35), **settings)
        with pytest.raises(NumericError, match="the loss is nan"):
            trainer_of("numba", "adam", FiniteGuard(every=1000), saver).fit(
                data_of(35), **settings, resume=tmp_path / "6"
            )


def test_a_look_at_every_step_on_a_host():
    with np.errstate(all="ignore"), pytest.raises(NumericError, match=r"in epoch 1, step 4: label 7 has no"):
        trainer_of("numba", "adam").fit(data_of(35), 1, batch_size=8, shuffle=False, progress=False)


def test_evaluation_names_a_label_without_an_output(place):
    trainer = trainer_of(place, "sgd")
    with np.errstate(all="ignore"):
        with pytest.raises(DataError, match=r"label 7 has no output: the model has"):
            trainer.evaluate(data_of(35))
        with pytest.raises(DataError, match="label 7 has no output"):
            trainer.fit(data_of(None), 1, validation=data_of(35), progress=False)


def test_evaluation_tells_of_a_loss_that_is_not_finite(place):
    trainer = trainer_of(place, "sgd")
    assert np.isfinite(trainer.evaluate(data_of(None))["loss"])
    weights = next(trainer.model.parameters())
    weights.backend.set(weights.data, np.nan)
    with np.errstate(all="ignore"):
        assert not np.isfinite(trainer.evaluate(data_of(None))["loss"])
