"""Going on with a training: only with the same one, all or nothing, and to the end that it would have had."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn, optim
from xpnn.core import random
from xpnn.errors import CheckpointError, ConfigError
from xpnn.optim import schedule
from xpnn.train import Callback, Checkpoint, EarlyStopping, StopOnRise, settings
from xpnn.train import checkpoint as files

from .conftest import same_weights


class StopAt(Callback):
    def __init__(self, step=10**6):
        self.at = step

    def on_step_end(self, trainer, loss):
        trainer.stop = trainer.stop or trainer.step == self.at


def network(activation="relu", dropout=0.2, hidden=32):
    xpnn.seed(7)
    return nn.Sequential(
        nn.Flatten(), nn.Dense(64, hidden, activation=activation), nn.Dropout(dropout), nn.Dense(hidden, 10)
    )


SETTINGS = [
    ("optimizer_settings.beta1 there is 0.9; here it is 0.8", {"optimizer": lambda: optim.Adam(beta1=0.8)}),
    (
        "optimizer_settings.weight_decay there is 0.0; here it is 0.1",
        {"optimizer": lambda: optim.Adam(weight_decay=0.1)},
    ),
    ("optimizer_settings.clip_norm there is None; here it is 1.0", {"optimizer": lambda: optim.Adam(clip_norm=1.0)}),
    ("optimizer_settings.l2 there is 0.0; here it is 0.1", {"optimizer": lambda: optim.Adam(l2=0.1)}),
    ("schedule.type there is Cosine; here it is Constant", {"schedule": None}),
    ("schedule.floor there is 0.0; here it is 0.5", {"schedule": schedule.Cosine(3, floor=0.5)}),
    ("schedule.type there is Cosine; here it is WarmUp", {"schedule": schedule.WarmUp(5, schedule.Cosine(3))}),
    ("loss_options.delta there is 0.1; here it is 0.2", {"loss": losses.get("huber", delta=0.2)}),
    ("metrics.0 there is accuracy; here it is top3", {"metrics": "top3"}),
    ("does not fit: model.layers.1.activation there is relu; here it is tanh", {"model": ("tanh",)}),
    ("does not fit: model.layers.2.rate there is 0.2; here it is 0.5", {"model": ("relu", 0.5)}),
    ("does not fit: model.layers.1.out_features there is 32; here it is 31", {"model": ("relu", 0.2, 31)}),
]


@pytest.fixture(scope="module")
def targets(digits):
    return digits[0].one_hot()


HUBER = losses.get("huber", delta=0.1)


def trainer_of(model=(), optimizer=optim.Adam, loss=HUBER, **more):
    more = {"metrics": "accuracy", "schedule": schedule.Cosine(3), "callbacks": StopAt(5), **more}
    return xpnn.Trainer(network(*model), optimizer(), loss, **more)


@pytest.mark.parametrize(("message", "change"), SETTINGS)
def test_another_setting_is_refused_by_name(targets, tmp_path, message, change):
    first = trainer_of()
    first.fit(targets, 1, progress=False)
    first.save(tmp_path / "c")
    with pytest.raises(CheckpointError, match=message):
        trainer_of(**change).fit(targets, 1, progress=False, resume=tmp_path / "c")


def test_shifted_images_go_on_where_they_were_and_evaluation_sees_none(make, digits, tmp_path):
    whole, cut = make(), make(callbacks=StopAt(40))
    whole.fit(digits[0], 2, jitter=1, progress=False)
    cut.fit(digits[0], 2, jitter=1, progress=False)
    cut.save(tmp_path / "c")
    with pytest.raises(CheckpointError, match="jitter there is 1; here it is 0"):
        make(callbacks=StopAt(99)).fit(digits[0], 2, progress=False, resume=tmp_path / "c")
    rest = make(callbacks=StopAt(99))
    rest.fit(digits[0], 2, jitter=1, progress=False, resume=tmp_path / "c")
    assert all((a == b).all() for a, b in zip(whole.model.state().values(), rest.model.state().values(), strict=True))
    before = rest.evaluate(digits[0])
    assert before == rest.evaluate(digits[0]) == whole.evaluate(digits[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: replace(d, x=d.x[::-1]), "data there is"),
        (lambda d: replace(d, y=d.y[::-1]), "data there is"),
        (lambda d: replace(d, scale=0.5), r"input.scale there is 0.0625; here it is 0.5"),
        (lambda d: d.flat(), "input.shape there is"),
    ],
)
def test_other_data_of_equal_length_are_refused(make, digits, tmp_path, change, message):
    first = make(callbacks=StopAt(5))
    first.fit(digits[0], 1, validation=digits[1], progress=False)
    first.save(tmp_path / "c")
    other = make(callbacks=StopAt())
    with pytest.raises(CheckpointError, match=message):
        other.fit(change(digits[0]), 1, validation=digits[1], progress=False, resume=tmp_path / "c")
    assert other.model.input_format == {}
    with pytest.raises(CheckpointError, match="validation there is"):
        other.fit(digits[0], 1, validation=digits[1][::-1], progress=False, resume=tmp_path / "c")
    renamed = replace(digits[0], name="moved elsewhere")
    other.fit(renamed, 1, validation=digits[1], progress=False, resume=tmp_path / "c")


def test_large_data_are_hashed_by_samples(digits, monkeypatch):
    whole = settings.fingerprints(digits[0], None)
    monkeypatch.setattr(settings, "HASHED_BYTES", 1000)
    assert settings.fingerprints(digits[0], None) != whole
    assert settings.fingerprints(digits[0][::-1], None) != settings.fingerprints(digits[0], None)


def test_data_are_hashed_once_a_fit_and_only_for_saving(make, digits, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(settings, "_fingerprint", lambda data: calls.append(data) or "x")
    make().fit(digits[0], 1, progress=False)
    assert calls == []
    make(callbacks=Checkpoint(tmp_path / "c", every_steps=5)).fit(digits[0], 2, progress=False)
    assert calls == [digits[0]]


def test_settings_are_those_of_the_beginning(make, digits, tmp_path):
    """A callback may change them as training goes: the same callback will in the resumed run."""

    class Anneal(StopAt):
        def on_epoch_end(self, trainer, row):
            trainer.model[2].rate = 0.2 / (1 + row["epoch"])
            trainer.optimizer.clip_norm = 1.0

    first = make(callbacks=Anneal(30))
    first.fit(digits[0], 3, progress=False)
    first.save(tmp_path / "c")
    make(callbacks=Anneal()).fit(digits[0], 3, progress=False, resume=tmp_path / "c")


class Draws(Callback):
    """Learns from the generator that everything draws from."""

    def __init__(self):
        self.drawn = []

    def on_epoch_end(self, trainer, row):
        self.drawn.append(random.DEFAULT.uniform().item())
        trainer.model[3].b.assign(trainer.model[3].b.numpy() + np.float32(self.drawn[-1]))


@pytest.mark.parametrize("stop", [30, 46, 60])
def test_schedule_and_generator_go_on(make, digits, tmp_path, stop):
    def trainer(at, resume=None):
        plateau = schedule.Plateau(patience=2, factor=0.5, threshold=10.0)  # nothing is better by so much
        built = make(callbacks=[Draws(), StopAt(at)], schedule=plateau)
        if resume is None:
            xpnn.seed(5)
        else:
            xpnn.seed(99)
        built.fit(digits[0], 6, validation=digits[1], progress=False, resume=resume)
        return built

    whole, first = trainer(10**6), trainer(stop)
    first.save(tmp_path / "c")
    second = trainer(10**6, tmp_path / "c")
    assert whole.history["lr"][-1] < whole.history["lr"][0]
    assert second.history["lr"] == whole.history["lr"]
    assert same_weights(whole, second)
    assert second.schedule.state() == whole.schedule.state()


class TestStops:
    def test_a_decision_is_kept(self, make, digits, tmp_path):
        def trainer():
            # The first in the list, and it saves what the second one decides all the same.
            built = make(callbacks=[Checkpoint(tmp_path / "c"), EarlyStopping("loss", patience=2)])
            built.optimizer.lr = built._base_lr = 0.3
            return built

        first, second = trainer(), trainer()
        first.fit(digits[0], 20, progress=False)
        assert len(first.history) < 20
        second.fit(digits[0], 20, progress=False, resume=tmp_path / "c")
        assert second.step == first.step
        assert same_weights(first, second)
        second.fit(digits[0], 1, progress=False)  # but who asks for more gets it
        assert second.step > first.step

    @pytest.mark.parametrize("stop", [23, 30])
    def test_an_interruption_goes_on(self, make, digits, tmp_path, stop):
        first, second = (make(callbacks=[Checkpoint(tmp_path / "c"), StopAt(at)]) for at in (stop, 10**6))
        first.fit(digits[0], 3, progress=False)
        first.save(tmp_path / "c")
        second.fit(digits[0], 3, progress=False, resume=tmp_path / "c")
        assert second.epoch == 3

    def test_a_decision_at_the_end_of_an_interrupted_epoch(self, make, digits, tmp_path):
        class Decide(Callback):
            def on_epoch_end(self, trainer, row):
                trainer.stop = trainer.stop or row["epoch"] == 1

        first, second = (make(callbacks=[Decide(), StopAt(at)]) for at in (23, 10**6))
        first.fit(digits[0], 3, progress=False)
        first.save(tmp_path / "c")
        second.fit(digits[0], 3, progress=False, resume=tmp_path / "c")
        assert second.epoch == 1

    @pytest.mark.parametrize("backwards", [False, True])
    def test_what_is_saved_does_not_depend_on_the_order(self, make, digits, tmp_path, backwards):
        savers = [Checkpoint(tmp_path / "a"), Checkpoint(tmp_path / "b", monitor="loss")]
        callbacks = [*savers, StopOnRise("loss"), EarlyStopping("loss")]
        trainer = make(callbacks=callbacks[::-1] if backwards else callbacks)
        trainer.fit(digits[0], 2, progress=False)
        told = [name for name, _ in files.read(tmp_path / "a").trainer["callbacks"]]
        saved = [state for name, state in files.read(tmp_path / "a").trainer["callbacks"]]
        assert told[1:] == [type(c).__name__ for c in trainer.callbacks[1:]]
        assert saved == [c.state() for c in trainer.callbacks]


class Fails(Callback):
    """Takes its state, and then finds that it cannot."""

    def __init__(self, value=1):
        self.value = value

    def state(self):
        return {"value": self.value}

    def load_state(self, state, arrays):
        self.value = state["value"]
        if self.value == 2:
            raise RuntimeError("no")


def everything(trainer):
    state = {key: value for key, value in trainer.state().items() if key not in ("run",)}
    return json.dumps(state), trainer.model.input_format, trainer.optimizer.lr, trainer.stop


class TestAllOrNothing:
    def test_a_callback_that_fails(self, make, digits, tmp_path):
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
    def test_a_header_with_a_wrong_entry(self, make, tmp_path, monkeypatch, name, value):
        trainer = make()
        trainer.save(tmp_path / "c")
        before = everything(trainer)
        contents = files.read(tmp_path / "c")
        contents.trainer[name] = value
        monkeypatch.setattr(files, "read", lambda path: contents)
        with pytest.raises(CheckpointError, match="does not fit this training: "):
            trainer.resume(tmp_path / "c")
        assert everything(trainer) == before

    def test_one_that_lacks_an_entry(self, make, tmp_path, monkeypatch):
        trainer = make()
        trainer.save(tmp_path / "c")
        contents = files.read(tmp_path / "c")
        del contents.trainer["optimizer_settings"]
        monkeypatch.setattr(files, "read", lambda path: contents)
        with pytest.raises(CheckpointError, match="does not fit this training: no 'optimizer_settings'"):
            trainer.resume(tmp_path / "c")

    def test_one_that_was_saved_before_any_fit(self, make, digits, tmp_path):
        make().save(tmp_path / "c")
        with pytest.raises(CheckpointError, match="saved before any fit. Use trainer.resume"):
            make().fit(digits[0], 1, progress=False, resume=tmp_path / "c")
        trainer = make()
        trainer.resume(tmp_path / "c")
        trainer.fit(digits[0], 1, progress=False)


class TestPlainData:
    def test_numbers_of_numpy(self, make, digits, tmp_path):
        def trainer():
            return make(callbacks=Fails({"a": np.float32(0.5), "b": [np.int64(3), np.bool_(True)]}))

        trainer().save(tmp_path / "c")
        second = trainer()
        second.resume(tmp_path / "c")
        assert second.callbacks[1].value == {"a": 0.5, "b": [3, True]}

    def test_what_json_has_not(self, make, tmp_path):
        with pytest.raises(ConfigError, match="Fails.state: expected numbers, .*; got ndarray. Arrays belong in"):
            make(callbacks=Fails(np.zeros(3))).save(tmp_path / "c")
        with pytest.raises(ConfigError, match="Fails.state: .*; got set"):
            make(callbacks=Fails({1})).save(tmp_path / "c")
        assert not list(tmp_path.iterdir())

    def test_rows_with_more_than_numbers(self, make, digits, tmp_path):
        class Note(Callback):
            def on_epoch_end(self, trainer, row):
                row["share"], row["note"] = np.float32(0.5), "good"

        with pytest.raises(ConfigError, match="history: expected numbers in its rows; got 'note': 'good'"):
            make(callbacks=[Note(), Checkpoint(tmp_path / "c")]).fit(digits[0], 1, progress=False)
