"""A training that takes a fraction of a second: the embedded digits, a small network with dropout, and callbacks."""

from __future__ import annotations

import math

import pytest

import xpnn
from xpnn import data, nn, optim
from xpnn.train import Callback


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    return request.param


@pytest.fixture(scope="session")
def digits():
    return data.digits()


def network(activation="relu", dropout=0.2, hidden=32):
    xpnn.seed(7)
    return nn.Sequential(
        nn.Flatten(), nn.Dense(64, hidden, activation=activation), nn.Dropout(dropout), nn.Dense(hidden, 10)
    )


@pytest.fixture
def make(digits):
    """make(backend, **settings) -> a fresh Trainer from seed 7, the same every time."""

    def build(backend="numpy", optimizer=None, dropout=0.2, **settings):
        with xpnn.use(backend):
            model = network(dropout=dropout)
        return xpnn.Trainer(model, optimizer or optim.Adam(lr=3e-3), **settings)

    return build


def same_weights(a, b):
    """Bit for bit?"""
    left, right = a.model.state(), b.model.state()
    return left.keys() == right.keys() and all((left[k] == right[k]).all() for k in left)


class StopAt(Callback):
    """Interrupts the training after this step."""

    def __init__(self, step=10**6):
        self.at = step

    def on_step_end(self, trainer, loss):
        trainer.stop = trainer.stop or trainer.step == self.at


class Keeps(Callback):
    """Has a state, which checkpoints keep."""

    def __init__(self, value=1):
        self.value = value

    def state(self):
        return {"value": self.value}

    def load_state(self, state, arrays):
        self.value = state["value"]


@pytest.fixture(scope="session")
def saved(tmp_path_factory):
    """The bytes of a small checkpoint of a training."""
    path = tmp_path_factory.mktemp("saved") / "saved.safetensors"
    model = nn.Sequential(nn.Dense(3, 4, activation="relu"), nn.Dropout(0.25), nn.Dense(4, 2))
    trainer = xpnn.Trainer(model, optim.SGD())
    trainer.step, trainer.history.rows = 8, [{"epoch": 1, "loss": 0.5, "val_loss": math.inf}]
    trainer.save(path)
    return path.read_bytes()
