"""Training on a text: the state goes from batch to batch and begins anew with every epoch, also in a resumed run."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import models, nn, optim
from xpnn.data import Batches
from xpnn.data import text as texts
from xpnn.train import Callback, checkpoint

from .conftest import StopAt

BACKENDS = ("numpy", "numba")
STORY = "".join("abc d\n"[i] for i in np.random.default_rng(0).integers(0, 6, 2001))
TRAIN = texts.windows(STORY, sequence=10, streams=4)


def trainer(backend="numpy", callbacks=()):
    xpnn.seed(1)
    with xpnn.use(backend):
        model = models.char_lstm(6, hidden=8, embedding=4, streams=4)
    return xpnn.Trainer(model, optim.Adam(lr=1e-2, clip_norm=1.0), callbacks=callbacks)


@pytest.mark.parametrize("backend", BACKENDS)
def test_batches_come_in_the_order_of_the_text(backend):
    """Whatever size and order are asked for."""
    with xpnn.use(backend):
        batches = Batches(TRAIN, 64, xpnn.current_backend(), shuffle=True)
    seen = [x.numpy().copy() for x, _ in batches.epoch()]
    assert {(x.shape, x.dtype.name) for x in seen} == {((4, 10), "int64")}
    assert texts.decode(np.concatenate(seen, axis=1)[1], TRAIN.characters) == STORY[500:1000]


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_losses_are_those_of_a_loop_that_hands_on_the_state(backend):
    class Losses(Callback):
        def __init__(self):
            self.losses = []

        def on_loss(self, trainer, x, loss):
            self.losses.append(loss.item())

    seen = Losses()
    mine = trainer(backend, seen)
    mine.fit(TRAIN, epochs=2, progress=False)
    model = trainer(backend).model
    embedding, lstm, dense = model
    optimizer, by_hand = optim.Adam(model, lr=1e-2, clip_norm=1.0), []
    for epoch in range(2):
        state = lstm.initial_state(4)
        for x, y in Batches(TRAIN, 4, model.backend).epoch(epoch):
            y_all, state = lstm(embedding(x), state.detach())
            loss = xpnn.losses.cross_entropy(dense(y_all), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            by_hand.append(loss.item())
    assert len(by_hand) == 100
    np.testing.assert_allclose(seen.losses, by_hand, rtol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_run_that_was_interrupted_within_an_epoch_ends_with_the_same_weights(backend, tmp_path):
    whole = trainer(backend)
    whole.fit(TRAIN, epochs=3, progress=False)
    part, rest = trainer(backend, StopAt(73)), trainer(backend, StopAt())
    part.fit(TRAIN, epochs=3, progress=False)
    assert (part.epoch, part.step) == (1, 73)
    part.save(tmp_path / "m")
    rest.fit(TRAIN, epochs=3, progress=False, resume=tmp_path / "m")
    for name, array in whole.model.state().items():
        assert np.array_equal(array, rest.model.state()[name]), name


def test_evaluating_between_epochs_changes_nothing():
    test = texts.held_out(STORY, TRAIN.characters, sequence=10, streams=4)
    alone, watched = trainer(), trainer()
    alone.fit(TRAIN, epochs=2, progress=False)
    history = watched.fit(TRAIN, epochs=2, validation=test, progress=False)
    assert all("val_loss" in row for row in history.rows)
    for name, array in alone.model.state().items():
        assert np.array_equal(array, watched.model.state()[name]), name


def test_ids_are_predicted_from_an_array_too():
    mine = trainer()
    expected = mine.predict(TRAIN)
    for ids in (TRAIN.x, TRAIN.x.astype(np.uint8), TRAIN.x.tolist()):
        np.testing.assert_allclose(mine.predict(ids), expected, rtol=1e-5, atol=1e-6)


def test_the_vocabulary_goes_with_the_model(tmp_path):
    mine = trainer()
    mine.fit(TRAIN, epochs=1, progress=False)
    mine.save(tmp_path / "training")
    xpnn.save(mine.model, tmp_path / "model")
    for name in ("training", "model"):
        assert checkpoint.read(tmp_path / name).input["characters"] == "\n abcd"
    assert isinstance(xpnn.load(tmp_path / "model")[1], nn.LSTM)
