"""Training a recurrent network whose state is carried from batch to batch."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.data import Dataset

STREAMS, WINDOWS, T = 4, 6, 5


def echo():
    """Windows of random bits in streams; the target is the bit before, at a window's first step one of the last."""
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (STREAMS, WINDOWS * T + 1))

    def in_batches(a):
        return a.reshape(STREAMS, WINDOWS, T).transpose(1, 0, 2).reshape(WINDOWS * STREAMS, T)

    x = in_batches(bits[:, 1:]).astype(np.float32)[..., None]
    return Dataset(x, in_batches(bits[:, :-1]), classes=2)


def trainer(place, **settings):
    with xpnn.use(place):
        xpnn.seed(0)
        model = nn.Sequential(nn.GRU(1, 8, **settings), nn.Dense(8, 2))
    return xpnn.Trainer(model, optim.Adam(lr=0.03))


def fit(trainer, epochs, **settings):
    return trainer.fit(echo(), epochs, batch_size=STREAMS, shuffle=False, progress=False, **settings)


@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_only_a_carried_state_knows_the_end_of_the_batch_before(place):
    carrying, plain = trainer(place, stateful=STREAMS), trainer(place)
    # Without it every fifth bit is a guess, at log 2; with it, those of the first batch.
    assert fit(carrying, 120).rows[-1]["loss"] < 0.05
    assert fit(plain, 120).rows[-1]["loss"] > 0.08


def test_an_epoch_begins_with_zeros():
    """Two epochs of a learning rate near 0 have one loss; a state left from the first would change it."""
    training = trainer("numpy", stateful=STREAMS)
    training.optimizer.lr = 1e-30
    training._base_lr = 1e-30
    first, second = (row["loss"] for row in fit(training, 2).rows)
    assert first == second


def test_a_run_resumed_within_an_epoch_has_the_carried_state(tmp_path):
    whole = trainer("numpy", stateful=STREAMS)
    fit(whole, 3)

    class Saving(xpnn.train.Callback):
        def on_settled(self, trainer, row):
            if trainer.step == WINDOWS + 3:
                trainer.save(tmp_path / "half.safetensors")
                trainer.stop = True

    first, second = (trainer("numpy", stateful=STREAMS) for _ in range(2))
    for training in (first, second):
        training.callbacks.append(Saving())
    fit(first, 3)
    fit(second, 3, resume=tmp_path / "half.safetensors")
    for name, value in whole.model.state().items():
        np.testing.assert_array_equal(second.model.state()[name], value, err_msg=name)
