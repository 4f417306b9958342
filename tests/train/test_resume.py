"""Going on with a training, to the end that it would have had."""

from __future__ import annotations

import numpy as np
import pytest
from safetensors.numpy import load_file

import xpnn
from xpnn import optim
from xpnn.core import random
from xpnn.errors import CheckpointError
from xpnn.optim import schedule
from xpnn.train import Callback, Checkpoint, EarlyStopping, StopOnRise
from xpnn.train import checkpoint as files

from .conftest import StopAt, same_weights

OPTIMIZERS = [optim.SGD, optim.Nesterov, optim.AdaGrad, optim.RMSProp, optim.AdamW]


@pytest.mark.parametrize("kind", OPTIMIZERS)
@pytest.mark.parametrize("stop", [1, 22, 23, 30])
def test_a_resumed_run_is_the_uninterrupted_one(make, digits, backend, kind, stop, tmp_path):
    """Stopped in the middle of an epoch, at its last step, at its end and in the next one."""
    train = digits[0]

    def trainer(*callbacks):
        return make(
            backend, kind(lr=1e-3), metrics=["accuracy"], callbacks=callbacks, schedule=optim.schedule.Cosine(3)
        )

    whole, first, second = trainer(StopAt(10**6)), trainer(StopAt(stop)), trainer(StopAt(10**6))
    whole.fit(train, epochs=3, progress=False)
    first.fit(train, epochs=3, progress=False)
    first.save(tmp_path / "c")
    xpnn.seed(123)  # the generator is resumed too
    second.fit(train, epochs=3, progress=False, resume=tmp_path / "c")
    assert same_weights(whole, second)
    for name in ("loss", "accuracy", "lr"):
        assert second.history[name] == whole.history[name]
    assert (whole.optimizer.state()["step"] == second.optimizer.state()["step"]).all()


def test_a_checkpoint_goes_on_on_another_backend(make, digits, tmp_path):
    first, second, whole = make("numpy"), make("numba"), make("numpy")
    first.fit(digits[0], epochs=1, progress=False)
    first.save(tmp_path / "c")
    second.resume(tmp_path / "c")
    second.fit(digits[0], epochs=1, progress=False)
    whole.fit(digits[0], epochs=2, progress=False)
    for name, weights in whole.model.state().items():
        np.testing.assert_allclose(second.model.state()[name], weights, rtol=2e-3, atol=2e-4)


def test_early_stopping_remembers_its_best_weights(make, digits, tmp_path):
    def trainer(*more):
        built = make(callbacks=[EarlyStopping("loss", patience=2), *more])
        built.optimizer.lr = built._base_lr = 0.3  # so high that the first epoch is the best
        return built

    whole, first, second = trainer(), trainer(), trainer()
    whole.fit(digits[0], epochs=20, progress=False)
    first.callbacks.append(StopAt(24))
    first.fit(digits[0], epochs=20, progress=False)
    first.model.load_state(whole.model.state())  # what on_fit_end restored is not what training had
    del first.callbacks[-1]
    first.save(tmp_path / "c")
    second.fit(digits[0], epochs=20, progress=False, resume=tmp_path / "c")
    assert {"callback/1/layers.1.w", "callback/1/layers.3.b"} <= load_file(tmp_path / "c").keys()


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


# Stops ----------------------------------------------------------------------------------------------------------------


def test_a_decision_is_kept(make, digits, tmp_path):
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
def test_an_interruption_goes_on(make, digits, tmp_path, stop):
    first, second = (make(callbacks=[Checkpoint(tmp_path / "c"), StopAt(at)]) for at in (stop, 10**6))
    first.fit(digits[0], 3, progress=False)
    first.save(tmp_path / "c")
    second.fit(digits[0], 3, progress=False, resume=tmp_path / "c")
    assert second.epoch == 3


def test_a_decision_at_the_end_of_an_interrupted_epoch(make, digits, tmp_path):
    class Decide(Callback):
        def on_epoch_end(self, trainer, row):
            trainer.stop = trainer.stop or row["epoch"] == 1

    first, second = (make(callbacks=[Decide(), StopAt(at)]) for at in (23, 10**6))
    first.fit(digits[0], 3, progress=False)
    first.save(tmp_path / "c")
    second.fit(digits[0], 3, progress=False, resume=tmp_path / "c")
    assert second.epoch == 1


@pytest.mark.parametrize("backwards", [False, True])
def test_what_is_saved_does_not_depend_on_the_order(make, digits, tmp_path, backwards):
    savers = [Checkpoint(tmp_path / "a"), Checkpoint(tmp_path / "b", monitor="loss")]
    callbacks = [*savers, StopOnRise("loss"), EarlyStopping("loss")]
    trainer = make(callbacks=callbacks[::-1] if backwards else callbacks)
    trainer.fit(digits[0], 2, progress=False)
    told = [name for name, _ in files.read(tmp_path / "a").trainer["callbacks"]]
    saved = [state for name, state in files.read(tmp_path / "a").trainer["callbacks"]]
    assert told[1:] == [type(c).__name__ for c in trainer.callbacks[1:]]
    assert saved == [c.state() for c in trainer.callbacks]
