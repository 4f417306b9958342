"""What a Trainer promises to its callers: it trains what it was given, or says in one line why not."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import data, nn, optim
from xpnn.errors import BackendError, ConfigError, ShapeError
from xpnn.train import Callback, CSVLog

from .conftest import StopAt


class TestBinding:
    def test_an_optimizer_of_another_model(self, make):
        optimizer = optim.Adam(make().model)
        with pytest.raises(ConfigError, match=r"does not train layers\.1\.w\. Use optimizer\.bind\(model\)"):
            make(optimizer=optimizer)

    def test_a_layer_that_came_later(self, make, digits):
        trainer = make()
        trainer.model.layers.append(nn.Dense(10, 10))
        with pytest.raises(ConfigError, match=r"does not train layers\.4\.w"):
            trainer.fit(digits[0], 1, progress=False)
        trainer.optimizer.bind(trainer.model)
        before = trainer.model[4].w.numpy().copy()
        trainer.fit(digits[0], 1, progress=False)
        assert (trainer.model[4].w.numpy() != before).any()

    def test_another_trainer_took_over(self, make, digits):
        first = make()
        xpnn.Trainer(first.model, "sgd")
        with pytest.raises(ConfigError, match="does not train"):
            first.fit(digits[0], 1, progress=False)

    def test_frozen_parameters_need_no_optimizer(self, make, digits):
        model = make().model
        for p in model[1].parameters():
            p.requires_grad = False
        before = model[1].w.numpy().copy()
        xpnn.Trainer(model, optim.Adam(model[3])).fit(digits[0], 1, progress=False)
        assert (model[1].w.numpy() == before).all()


class Heard(optim.Schedule):
    def __init__(self):
        self._heard = []

    def factor(self, step, steps_per_epoch):
        return 1.0

    def observe(self, value):
        self._heard.append(value)


def test_a_plateau_is_told_one_kind_of_loss(make, digits):
    schedule = Heard()
    history = make(schedule=schedule).fit(digits[0], 5, validation=digits[1], validate_every=2, progress=False)
    assert schedule._heard == [value for value in history["val_loss"] if not np.isnan(value)]
    assert len(schedule._heard) == 3
    alone = Heard()
    losses = make(schedule=alone).fit(digits[0], 2, progress=False)["loss"]
    assert alone._heard == losses


def test_every_module_keeps_its_own_mode(make, digits):
    trainer = make()
    trainer.model.train()
    trainer.model[2].eval()
    before = [module.training for _, module in trainer.model.named_modules()]
    trainer.evaluate(digits[1])
    trainer.predict(digits[1].x[:3])
    with pytest.raises(ShapeError):
        trainer.predict(np.zeros((2, 5)))
    assert [module.training for _, module in trainer.model.named_modules()] == before


def test_labels_changed_in_place_count(make, digits):
    few = data.Dataset(digits[1].x, digits[1].y.astype(np.int32), scale=1 / 16)
    trainer = make(metrics="accuracy")
    trainer.evaluate(few)
    few.y[:] = trainer.predict(few).argmax(1)
    assert trainer.evaluate(few)["accuracy"] == 1


class MoveAtEpochEnd(Callback):
    def on_epoch_end(self, trainer, row):
        trainer.model.to("numba")


class MoveAtStepEnd(Callback):
    def on_step_end(self, trainer, loss):
        trainer.model.to("numba")


def test_moving_at_the_end_of_an_epoch(make, digits):
    stay, move = make("numpy"), make("numpy", callbacks=MoveAtEpochEnd())
    stay.fit(digits[0], 3, validation=digits[1], progress=False)
    move.fit(digits[0], 3, validation=digits[1], progress=False)
    assert move.model.backend.name == "numba"
    np.testing.assert_allclose(move.history["val_loss"], stay.history["val_loss"], rtol=1e-2)


def test_moving_within_an_epoch(make, digits):
    with pytest.raises(BackendError, match="moved within an epoch. Move it in on_epoch_end"):
        make("numpy", callbacks=MoveAtStepEnd()).fit(digits[0], 1, progress=False)


class TestArguments:
    @pytest.mark.parametrize(
        ("call", "message"),
        [
            (lambda t, d: t.predict(d.x[:0]), r"predict: expected at least one sample \(N, ...\); got \(0, 8, 8, 1\)"),
            (lambda t, d: t.predict(d.x, batch_size=0), "predict: expected batch_size as a whole number >= 1; got 0"),
            (lambda t, d: t.evaluate(d, batch_size=0), "evaluate: expected batch_size as a whole number >= 1; got 0"),
            (lambda t, d: t.evaluate((d.x, d.y)), "evaluate: expected a Dataset; got tuple. Make one: .*from_arrays"),
            (lambda t, d: t.fit((d.x, d.y), 1), "fit: expected a Dataset; got tuple"),
            (lambda t, d: t.fit(d.x, d.y), "fit: expected a Dataset; got ndarray. Make one: .*from_arrays"),
            (lambda t, d: t.fit(d.x, d.y, epochs=2), "fit: expected a Dataset; got ndarray"),
            (lambda t, d: t.fit(x=d.x, y=d.y, epochs=2), "fit: expected a Dataset; got NoneType"),
            (lambda t, d: t.evaluate(d.x, d.y, batch_size=8), "evaluate: expected a Dataset; got ndarray"),
            (lambda t, d: t.predict(d.x, d.y), "predict: expected batch_size as a whole number >= 1; got ndarray$"),
            (lambda t, d: t.fit(d, 1, 64, (d.x, d.y)), "fit: validation: expected a Dataset; got tuple"),
            (lambda t, d: t.fit(d, 1, 32.0), "fit: expected batch_size as a whole number >= 1; got 32.0"),
            (lambda t, d: t.fit(d, 1.5), "fit: expected epochs as a whole number >= 1; got 1.5"),
            (lambda t, d: t.fit(d, True), "fit: expected epochs as a whole number >= 1; got True"),
            (lambda t, d: t.fit(d, 1, validate_every="2"), "fit: expected validate_every as a whole number >= 1"),
        ],
    )
    def test_one_line_says_what_is_expected(self, make, digits, call, message):
        with pytest.raises((ConfigError, ShapeError), match=message) as raised:
            call(make(), digits[1])
        assert "\n" not in str(raised.value)

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (nn.Dense, "got the class Dense. Make one of it"),
            (len, "got builtin_function_or_method"),
            (None, "NoneType"),
        ],
    )
    def test_what_is_no_model(self, model, message):
        with pytest.raises(ConfigError, match=f"Trainer: expected a model, an xpnn.nn.Module; .*{message}"):
            xpnn.Trainer(model, "adam")

    @pytest.mark.parametrize(
        "setting", [{"callbacks": CSVLog}, {"callbacks": ["x"]}, {"metrics": 3}, {"metrics": [3]}, {"seed": 1.5}]
    )
    def test_settings_of_another_kind(self, make, setting):
        with pytest.raises(ConfigError):
            make(**setting)

    def test_one_may_stand_without_a_list(self, make, digits, tmp_path):
        trainer = make(metrics="accuracy", callbacks=CSVLog(tmp_path / "log"))
        assert "accuracy" in trainer.fit(digits[0], np.int64(1), np.int32(64), progress=False).columns
        assert (tmp_path / "log").exists()


def test_a_stop_at_the_last_step_of_an_epoch_adds_no_validation(make, digits):
    history = make(callbacks=StopAt(23)).fit(digits[0], 2, validation=digits[1], validate_every=2, progress=False)
    assert len(history) == 1
    assert "val_loss" not in history.columns
