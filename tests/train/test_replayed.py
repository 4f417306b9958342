"""The Trainer's step is recorded and replayed, its batch included: nobody is to notice."""

from __future__ import annotations

import gc
import weakref

import pytest

import xpnn
from xpnn.data.batches import Batches
from xpnn.errors import AutogradError, CaptureError
from xpnn.train import Callback, FiniteGuard


def test_a_graph_of_the_batch_lives_as_long_as_the_batch(make, digits):
    class Look(Callback):
        ran = spoilt = 0
        kept = None

        def on_loss(self, trainer, x, loss):
            if self.kept is not None:
                with pytest.raises(AutogradError, match="changed"):
                    self.kept.backward()
                self.spoilt += 1
            w = xpnn.Parameter(x.data * 0, x.backend)
            self.now, self.kept = (w * x).sum(), (w * x).sum()

        def on_step_end(self, trainer, loss):
            self.now.backward()
            self.ran += 1

    look = Look()
    trainer = make("numba", callbacks=[look])
    trainer.fit(digits[0], epochs=1, batch_size=200, progress=False)
    assert trainer.why_eager is None or trainer.step > 2
    assert look.ran == trainer.step
    assert look.spoilt == trainer.step - 1


def test_a_trainer_of_ones_own_is_replayed_too(make, digits):
    class Own(xpnn.Trainer):
        """Its step count and clock are around no step."""

    class Replays(Callback):
        seen = 0

        def on_step_end(self, trainer, loss):
            self.seen += trainer.why_eager is None

    given, replays = make("numba"), Replays()
    own = Own(given.model, given.optimizer, callbacks=[replays])
    own.fit(digits[0], epochs=1, batch_size=100, progress=False)
    assert replays.seen > own.step / 2


def test_losses_may_be_kept(make, digits):
    class Keeps(FiniteGuard):
        def __init__(self):
            super().__init__()
            self.losses = []

        def on_loss(self, trainer, x, loss):
            super().on_loss(trainer, x, loss)
            self.losses.append(loss)

    keeps = Keeps()
    make("numba", callbacks=[keeps]).fit(digits[0], epochs=1, batch_size=100, progress=False)
    assert len({loss.item() for loss in keeps.losses}) == len(keeps.losses) > 5


def test_the_data_set_goes_after_fit(make, digits, monkeypatch):
    alive = weakref.WeakSet()
    monkeypatch.setattr(Batches, "__init__", _counted(Batches.__init__, alive))
    trainer = make("numba")
    for _ in range(2):
        trainer.fit(digits[0], epochs=4, batch_size=len(digits[0]) // 2, progress=False)
        gc.collect()
        assert not alive
        assert trainer.why_eager is None, "there was nothing to be let go of"


def test_the_data_set_goes_where_fit_broke_off(make, digits, monkeypatch):
    class Breaks(Callback):
        def on_step_end(self, trainer, loss):
            if trainer.why_eager is None:
                raise RuntimeError("broken")

    alive = weakref.WeakSet()
    monkeypatch.setattr(Batches, "__init__", _counted(Batches.__init__, alive))
    trainer = make("numba", callbacks=Breaks())
    for _ in range(2):
        with pytest.raises(RuntimeError, match="broken"):
            trainer.fit(digits[0], epochs=1, batch_size=100, progress=False)
        gc.collect()
        assert not alive


def _counted(init, alive):
    def counted(self, *args, **settings):
        gc.collect()
        assert not alive, "two copies of a data set at a time"
        init(self, *args, **settings)
        alive.add(self)

    return counted


def test_threads_stay_within_a_step(make, digits):
    before = xpnn.get_num_threads()
    if before == 1:
        pytest.skip("one thread")

    class Change(Callback):
        def on_loss(self, trainer, x, loss):
            if trainer.step == 5:
                xpnn.set_num_threads(before - 1)

    try:
        with pytest.raises(CaptureError, match="threads"):
            make("numba", callbacks=[Change()]).fit(digits[0], epochs=1, batch_size=64, progress=False)
    finally:
        xpnn.set_num_threads(before)
