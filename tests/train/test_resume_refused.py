"""Going on with a training: only with the same one, on the same data."""

from __future__ import annotations

from dataclasses import replace

import pytest

import xpnn
from xpnn import losses, optim
from xpnn.errors import CheckpointError
from xpnn.optim import schedule
from xpnn.train import Checkpoint, settings

from .conftest import StopAt, network

# Settings -------------------------------------------------------------------------------------------------------------


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


def test_another_precision_is_refused(make, digits, tmp_path):
    with xpnn.precision("tf32"):
        first = make(callbacks=StopAt(5))
        first.fit(digits[0], 1, progress=False)
    first.save(tmp_path / "c")
    with pytest.raises(CheckpointError, match="precision there is tf32; here it is fast"):
        make(callbacks=StopAt()).fit(digits[0], 1, progress=False, resume=tmp_path / "c")
    with xpnn.precision("tf32"):
        make(callbacks=StopAt()).fit(digits[0], 1, progress=False, resume=tmp_path / "c")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda make: make(optimizer=optim.SGD()), "optimizer there is Adam; here it is SGD"),
        (lambda make: make(seed=1), "seed there is 0; here it is 1"),
        (lambda make: make(loss="perceptron"), "loss there is cross_entropy; here it is perceptron"),
        (lambda make: make(optimizer=optim.Adam(lr=0.1)), "base_lr there is 0.003; here it is 0.1"),
        (lambda make: make(callbacks=[StopAt(1)]), "callbacks there is"),
    ],
)
def test_another_training_is_refused(make, digits, tmp_path, change, message):
    make().save(tmp_path / "c")
    other = change(make)
    before = other.model.state()
    with pytest.raises(CheckpointError, match=message):
        other.resume(tmp_path / "c")
    assert all((other.model.state()[k] == v).all() for k, v in before.items())


def test_other_settings_of_fit_are_refused(make, digits, tmp_path):
    first = make(callbacks=[StopAt(3)])
    first.fit(digits[0], epochs=2, batch_size=32, progress=False)
    first.save(tmp_path / "c")
    with pytest.raises(CheckpointError, match="batch_size there is 32; here it is 64"):
        make(callbacks=[StopAt(3)]).fit(digits[0], epochs=2, batch_size=64, progress=False, resume=tmp_path / "c")


def test_a_model_alone_cannot_be_resumed(make, tmp_path):
    xpnn.save(make().model, tmp_path / "m")
    with pytest.raises(CheckpointError, match="holds a model alone"):
        make().resume(tmp_path / "m")


def test_a_training_that_was_saved_before_any_fit(make, digits, tmp_path):
    make().save(tmp_path / "c")
    with pytest.raises(CheckpointError, match="saved before any fit. Use trainer.resume"):
        make().fit(digits[0], 1, progress=False, resume=tmp_path / "c")
    trainer = make()
    trainer.resume(tmp_path / "c")
    trainer.fit(digits[0], 1, progress=False)


# Data -----------------------------------------------------------------------------------------------------------------


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
