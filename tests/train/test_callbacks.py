"""Each callback against a history made up for it, and in a real fit."""

from __future__ import annotations

import csv
from types import SimpleNamespace

import numpy as np
import pytest

from xpnn.errors import CheckpointError, ConfigError, DataError
from xpnn.metrics import Accuracy, ConfusionMatrix, Metric, Precision
from xpnn.train import Callback, Checkpoint, CSVLog, EarlyStopping, StopOnRise


def play(callback, name, values):
    """The epoch after which the callback stops a run with these values, None when it never does."""
    trainer = SimpleNamespace(stop=False, metrics=[Accuracy()], model=SimpleNamespace(state=dict))
    for epoch, value in enumerate(values, 1):
        callback.on_epoch_end(trainer, {"epoch": epoch, name: value})
        if trainer.stop:
            return epoch
    return None


@pytest.mark.parametrize(
    ("values", "stops"),
    [([3, 2, 1, 1.5, 1.2, 1.1], 5), ([3, 2, 2, 1.9, 2, 2], 6), ([3, 2, 1], None), ([1, float("nan"), 2, 3], 3)],
)
def test_early_stopping_waits_for_its_patience(values, stops):
    assert play(EarlyStopping(patience=2), "val_loss", values) == stops


def test_early_stopping_knows_that_more_accuracy_is_better():
    assert play(EarlyStopping("val_accuracy", patience=1), "val_accuracy", [0.5, 0.6, 0.55]) == 3


def test_early_stopping_restores_the_best_weights(make, digits):
    class Best(Callback):
        loss, weights = np.inf, None

        def on_epoch_end(self, trainer, row):
            if row["val_loss"] < self.loss:
                self.loss, self.weights = row["val_loss"], trainer.model.state()

    best = Best()
    trainer = make(callbacks=[EarlyStopping(patience=2), best])
    trainer.optimizer.lr = trainer._base_lr = 0.05
    history = trainer.fit(digits[0][:200], epochs=60, validation=digits[1], progress=False)
    assert len(history) < 60
    assert all((trainer.model.state()[k] == w).all() for k, w in best.weights.items())


@pytest.mark.parametrize(
    ("values", "every", "stops"),
    [([0.5, 0.6, 0.59], 1, 3), ([0.5, 0.6, 0.59, 0.7], 2, None), ([0.5, 0.6, 0.7, 0.55], 2, 4), ([0.5, 0.5], 1, None)],
)
def test_stop_on_rise_of_the_error(values, every, stops):
    assert play(StopOnRise(every=every), "val_accuracy", values) == stops


def test_a_name_that_is_not_there(make, digits):
    """Found before an epoch is spent."""
    for callback in (EarlyStopping("val_los"), StopOnRise("val_los"), Checkpoint("c", monitor="val_los")):
        trainer = make(callbacks=callback)
        with pytest.raises(ConfigError, match=": monitor 'val_los' is unknown; .* Did you mean 'val_loss'"):
            trainer.fit(digits[0], epochs=1, validation=digits[1], progress=False)
        assert trainer.step == 0
    with pytest.raises(ConfigError, match="expected a validation set for 'val_loss'; got none"):
        make(callbacks=EarlyStopping()).fit(digits[0], epochs=1, progress=False)


def test_checkpoint_names_and_intervals(make, digits, tmp_path):
    path = tmp_path / "m-{epoch:02d}-{step}.safetensors"
    make(callbacks=[Checkpoint(path, every_steps=10, every_epochs=2)]).fit(digits[0], epochs=2, progress=False)
    names = sorted(p.name for p in tmp_path.iterdir())
    assert names == [f"m-{e:02d}-{s}.safetensors" for e, s in ((0, 10), (0, 20), (1, 30), (1, 40), (2, 46))]


def test_checkpoint_of_the_best_only(make, digits, tmp_path):
    checkpoint = Checkpoint(tmp_path / "{epoch}.safetensors", monitor="val_loss")
    history = make(callbacks=[checkpoint]).fit(digits[0], epochs=4, validation=digits[1], progress=False)
    losses = history["val_loss"]
    bests = [e for e in range(1, 5) if losses[e - 1] < min(losses[: e - 1], default=np.inf)]
    assert sorted(int(p.stem) for p in tmp_path.iterdir()) == bests


def test_a_template_with_an_unknown_name(make, digits, tmp_path):
    for bad, more in (("{val_loss}", {}), ("{loss:d}", {}), ("{loss}", {"every_steps": 50}), ("{0}", {})):
        trainer = make(callbacks=[Checkpoint(tmp_path / bad, **more)])
        with pytest.raises(ConfigError, match="asks for .*; there are epoch, "):
            trainer.fit(digits[0], epochs=1, progress=False)
        assert trainer.step == 0
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("kind", "error"), [(Checkpoint, CheckpointError), (CSVLog, DataError)])
def test_a_folder_that_is_not_there_is_found_before_training(make, digits, tmp_path, kind, error):
    trainer = make(callbacks=[kind(tmp_path / "no" / "file")])
    with pytest.raises(error, match="no/file: cannot be written: the folder .*no does not exist"):
        trainer.fit(digits[0], epochs=1, progress=False)
    assert trainer.step == 0


class Misses(Metric):
    """The number of wrong ones: less is better, whatever the name sounds like."""

    name, higher_is_better = "misses", False

    def __init__(self):
        self.values = iter([5, 3, 4, 1])

    def update(self, output, target): ...
    def reset(self): ...
    def state(self):
        return {}

    def value(self):
        return float(next(self.values))


def test_a_metric_says_what_is_better(make, digits, tmp_path):
    """Of the training, so that each epoch reads it once."""
    saver = Checkpoint(tmp_path / "{epoch}", monitor="misses")
    make(metrics=Misses(), callbacks=[saver, EarlyStopping("misses", patience=2)]).fit(digits[0], 4, progress=False)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1", "2", "4"]
    risen = make(metrics=Misses(), callbacks=StopOnRise("misses"))
    assert len(risen.fit(digits[0], 4, progress=False)) == 3


def test_a_name_that_ends_in_loss_or_error_may_be_a_gain(make, digits):
    class NoError(Misses):
        name, higher_is_better = "no_error", True

    trainer = make(metrics=NoError(), callbacks=StopOnRise("no_error"))
    assert len(trainer.fit(digits[0], 4, progress=False)) == 2


def test_epochs_without_validation_are_left_out(make, digits, tmp_path):
    callbacks = [
        StopOnRise("val_accuracy"),
        EarlyStopping("val_loss", patience=3),
        Checkpoint(tmp_path / "best-{epoch}", monitor="val_loss"),
        Checkpoint(tmp_path / "all-{epoch}-{val_loss:.1f}"),
    ]
    trainer = make(metrics="accuracy", callbacks=callbacks)
    trainer.fit(digits[0], 4, validation=digits[1], validate_every=2, progress=False)
    epochs = {tuple(p.name.split("-")[:2]) for p in tmp_path.iterdir()}
    assert epochs == {("best", "2"), ("best", "4"), ("all", "2"), ("all", "4")}


def test_rows_hold_numbers_and_evaluate_arrays_too(make, digits, tmp_path):
    metrics = [ConfusionMatrix(), Precision(None), "accuracy"]
    log, saver = CSVLog(tmp_path / "log.csv"), Checkpoint(tmp_path / "c")
    trainer = make(metrics=metrics, callbacks=[log, saver])
    history = trainer.fit(digits[0], 2, validation=digits[1], progress=False)
    names = {"epoch", "loss", "accuracy", "val_loss", "val_accuracy", "lr", "seconds", "samples_per_s"}
    assert all(row.keys() == names for row in history.rows)
    history.plot(tmp_path / "curve.png")
    make(metrics=metrics, callbacks=[log, saver]).resume(tmp_path / "c")
    assert trainer.evaluate(digits[1])["confusion_matrix"].sum() == len(digits[1])
    for metric in metrics[:2]:
        with pytest.raises(ConfigError, match="has no order"):
            make(metrics=metric, callbacks=EarlyStopping(metric.name)).fit(digits[0], 1, progress=False)


def test_the_csv_log_is_the_history(make, digits, tmp_path):
    history = make(callbacks=[CSVLog(tmp_path / "log.csv")]).fit(digits[0], epochs=2, progress=False)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == history["loss"]


def test_a_log_that_cannot_be_written(make, digits, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="log.csv: cannot be written"):
        make(callbacks=[CSVLog(tmp_path / "file" / "log.csv")]).fit(digits[0], epochs=1, progress=False)


def test_the_plot_is_a_picture(make, digits, tmp_path):
    history = make(metrics=["accuracy"]).fit(digits[0], epochs=2, validation=digits[1], progress=False)
    assert history.plot(tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
    with pytest.raises(DataError, match="cannot be written"):
        history.plot(tmp_path / "nowhere" / "curve.png")
    with pytest.raises(ConfigError, match="no column 'accurcy'"):
        history["accurcy"]


@pytest.mark.parametrize(
    "build",
    [
        lambda: EarlyStopping(patience=0),
        lambda: StopOnRise(every=0),
        lambda: Checkpoint("x", every_steps=0),
        lambda: Checkpoint("x", every_steps=5, monitor="val_loss"),
    ],
)
def test_settings_out_of_range(build):
    with pytest.raises(ConfigError):
        build()
