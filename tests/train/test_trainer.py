"""fit, evaluate, predict: what they do to the model, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import data, nn, optim
from xpnn.errors import ConfigError, NumericError, ShapeError
from xpnn.train import Callback, FiniteGuard

from .conftest import same_weights


class Steps(Callback):
    def __init__(self):
        self.losses = []

    def on_step_end(self, trainer, loss):
        self.losses.append(loss.item())


def test_it_learns(make, digits, backend):
    trainer = make(backend, metrics=["accuracy"])
    history = trainer.fit(digits[0], epochs=15, batch_size=32, validation=digits[1], progress=False)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert history["val_accuracy"][-1] > 0.85
    assert history["epoch"] == list(range(1, 16))


def test_the_same_seed_gives_the_same_bits(make, digits, backend):
    runs = [make(backend) for _ in range(2)]
    for trainer in runs:
        trainer.fit(digits[0], epochs=2, progress=False)
    assert same_weights(*runs)


def test_backends_differ_by_rounding_only(make, digits):
    steps = []
    for backend in ("numpy", "numba"):
        steps.append(Steps())
        make(backend, callbacks=[steps[-1]]).fit(digits[0], epochs=3, batch_size=32, progress=False)
    np.testing.assert_allclose(steps[0].losses[:100], steps[1].losses[:100], rtol=1e-4)


def test_two_fits_are_one_longer_fit(make, digits):
    once, twice = make(), make()
    once.fit(digits[0], epochs=3, progress=False)
    twice.fit(digits[0], epochs=1, progress=False)
    twice.fit(digits[0], epochs=2, progress=False)
    assert same_weights(once, twice)
    assert len(twice.history) == 3


def test_evaluate_has_no_dropout_and_leaves_the_mode(make, digits):
    trainer = make(metrics=["accuracy"], dropout=0.9)
    trainer.model.train()
    assert trainer.evaluate(digits[1]) == trainer.evaluate(digits[1])
    assert trainer.model.training


def test_evaluate_weighs_the_last_batch_by_its_size(make, digits):
    trainer = make()
    whole = trainer.evaluate(digits[1], batch_size=len(digits[1]))["loss"]
    assert trainer.evaluate(digits[1], batch_size=7)["loss"] == pytest.approx(whole, rel=1e-6)


def test_predict_scales_a_data_set_and_not_an_array(make, digits):
    trainer = make()
    test = digits[1]
    scaled = (test.x * np.float32(test.scale)).astype(np.float32)
    np.testing.assert_allclose(trainer.predict(test), trainer.predict(scaled, batch_size=50), rtol=1e-5, atol=1e-6)


def test_full_batch_is_a_batch_size(make, digits):
    trainer = make(optimizer=optim.SGD(lr=0.1))
    trainer.fit(digits[0], epochs=3, batch_size=10**9, progress=False)
    assert trainer.step == 3


def test_float64_models_train_in_float64(digits):
    model = nn.Sequential(nn.Flatten(), nn.Dense(64, 10)).astype("float64")
    trainer = xpnn.Trainer(model, optim.SGD(lr=0.1))
    trainer.fit(digits[0][:100], epochs=1, progress=False)
    assert {a.dtype for a in model.state().values()} == {np.dtype("float64")}


def test_one_hot_targets_and_half_sum_of_squares(digits, backend):
    with xpnn.use(backend):
        model = nn.Sequential(nn.Flatten(), nn.Dense(64, 10, activation="sigmoid"))
    trainer = xpnn.Trainer(model, optim.SGD(lr=1.0), loss="half_sum_of_squares", metrics=["accuracy"])
    history = trainer.fit(digits[0].one_hot(0.1, 0.9), epochs=5, batch_size=10, progress=False)
    assert history["accuracy"][-1] > 0.8


def test_a_schedule_moves_the_learning_rate_of_each_epoch(make, digits):
    trainer = make(schedule=optim.schedule.Step(every=1, factor=0.5))
    history = trainer.fit(digits[0], epochs=3, progress=False)
    assert history["lr"] == pytest.approx([3e-3, 1.5e-3, 0.75e-3])


def test_moving_between_epochs_keeps_the_optimizer_going(make, digits):
    stay, move = make("numpy"), make("numpy")
    stay.fit(digits[0], epochs=2, progress=False)
    move.fit(digits[0], epochs=1, progress=False)
    move.model.to("numba")
    move.fit(digits[0], epochs=1, progress=False)
    for name, weights in stay.model.state().items():
        np.testing.assert_allclose(move.model.state()[name], weights, rtol=2e-3, atol=2e-4)


class TestGuard:
    def test_it_names_the_parameter_and_keeps_the_weights(self, make, digits):
        trainer = make()
        trainer.model[3].w.assign(np.full((32, 10), np.nan, np.float32))
        before = trainer.model[1].w.numpy().copy()
        with pytest.raises(NumericError, match=r"loss is nan in epoch 1, step 0: parameter layers\.3\.w"):
            trainer.fit(digits[0], epochs=1, progress=False)
        assert (trainer.model[1].w.numpy() == before).all()

    def test_it_names_the_layer(self, make, digits):
        class Log(nn.Module):
            def forward(self, x):
                return (x - x - 1.0).log()  # of -1

        with np.errstate(invalid="ignore"):
            model = nn.Sequential(nn.Flatten(), nn.Dense(64, 10), Log())
            with pytest.raises(NumericError, match=r"layer layers\.2 \(Log\) gave it first"):
                xpnn.Trainer(model, optim.SGD()).fit(digits[0], epochs=1, progress=False)

    def test_it_names_the_loss(self, make, digits):
        wrong = data.Dataset(digits[0].x, digits[0].y + 5, scale=1 / 16)
        expected = r"label 1\d has no output: the data has 15 classes and the model 10 outputs"
        with pytest.raises(NumericError, match=expected):
            make().fit(wrong, epochs=1, progress=False)

    def test_it_may_look_less_often(self, make, digits):
        trainer = make(callbacks=[FiniteGuard(every=5)])
        trainer.step = 1
        trainer.model[3].w.assign(np.full((32, 10), np.inf, np.float32))
        with np.errstate(invalid="ignore"), pytest.raises(NumericError, match="step 5"):
            trainer.fit(digits[0], epochs=1, progress=False)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "epochs"),
        ({"epochs": 1, "batch_size": 0}, "batch_size as a whole number >= 1"),
        ({"epochs": 1, "validate_every": 0}, "validate_every"),
    ],
)
def test_settings_out_of_range(make, digits, settings, message):
    with pytest.raises(ConfigError, match=message):
        make().fit(digits[0], progress=False, **settings)


def test_a_model_that_does_not_fit_the_data(digits):
    trainer = xpnn.Trainer(nn.Sequential(nn.Dense(64, 10)), optim.SGD())
    with pytest.raises(ShapeError, match=r"dense: expected x \(N, 64\); got \(64, 8, 8, 1\)\. Flatten first\."):
        trainer.fit(digits[0], epochs=1, progress=False)


@pytest.mark.parametrize("setting", [{"loss": "cross_entrpy"}, {"metrics": ["acuracy"]}])
def test_unknown_names_suggest_the_near_one(make, setting):
    with pytest.raises(ConfigError, match="cross_entropy|accuracy"):
        make(**setting)


def test_progress_writes_a_line_an_epoch(make, digits, capsys):
    make(metrics=["accuracy"]).fit(digits[0], epochs=2, validation=digits[1])
    lines = capsys.readouterr().err.strip().splitlines()
    assert [line.split("  ")[0] for line in lines if line.startswith("epoch")] == ["epoch 1/2", "epoch 2/2"]
    assert lines[-1].count("(val ") == 2


class Focal:
    """A loss that is an object, with a number that a callback changes."""

    def __init__(self):
        self.factor = 1.0

    def __call__(self, output, target):
        return xpnn.losses.cross_entropy(output, target) * self.factor


class Anneal(xpnn.train.Callback):
    def __init__(self):
        self.kept = []

    def on_step_end(self, trainer, loss):
        self.kept.append(loss)
        if trainer.step % 5 == 0:
            trainer.loss.factor *= 0.5


def test_callbacks_may_change_a_loss_and_keep_what_they_get():
    found = []
    for place in ("numpy", "numba"):
        xpnn.seed(0)
        rng = np.random.default_rng(0)
        data = xpnn.data.from_arrays(rng.normal(size=(40, 3)).astype("f4"), rng.integers(0, 2, 40))
        callback = Anneal()
        with xpnn.use(place):
            trainer = xpnn.Trainer(xpnn.nn.Dense(3, 2), "sgd", loss=Focal(), callbacks=callback)
            trainer.fit(data, 2, batch_size=2, progress=False)
        found.append([loss.item() for loss in callback.kept])
    np.testing.assert_allclose(found[0], found[1], rtol=1e-4)
    assert len(set(found[0])) > 30
