"""The promises about real MNIST: accuracy on each CPU backend, equal loss curves, and the classic set-up."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import data, losses, models, nn, optim
from xpnn.cli.recipe import MNIST
from xpnn.errors import DataError
from xpnn.train import Callback

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def mnist():
    try:
        return data.mnist(download=False)
    except DataError as error:
        pytest.skip(f"MNIST is not at hand: {error}")


class FirstLosses(Callback):
    def __init__(self):
        self.losses = []

    def on_step_end(self, trainer, loss):
        if len(self.losses) < 100:
            self.losses.append(loss.item())


@pytest.fixture(scope="module")
def trained(mnist):
    """(first losses, test accuracy) of the MLP 784-300-10 after five epochs, by backend."""
    results = {}
    for backend in ("numpy", "numba"):
        with xpnn.use(backend):
            xpnn.seed(0)
            model = nn.Sequential(nn.Flatten(), nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10))
        first = FirstLosses()
        trainer = xpnn.Trainer(
            model, optim.Adam(lr=1e-3), metrics=["accuracy"], callbacks=[first], schedule=optim.Cosine(5)
        )
        trainer.fit(mnist[0], epochs=5, batch_size=64, progress=False)
        results[backend] = first.losses, trainer.evaluate(mnist[1])["accuracy"]
    return results


def test_five_epochs_reach_97_8_per_cent(trained):
    assert {backend: accuracy >= 0.978 for backend, (_, accuracy) in trained.items()} == {"numpy": True, "numba": True}


def test_the_loss_curves_are_one_curve(trained):
    (numpy_losses, _), (numba_losses, _) = trained["numpy"], trained["numba"]
    assert len(numpy_losses) == 100
    np.testing.assert_allclose(numba_losses, numpy_losses, rtol=1e-4)


def test_the_classic_set_up_trains(mnist):
    """Sigmoid, a sample at a time, targets 0.1 and 0.9, plain gradient descent: [784, 300, 10]."""
    train, test = (part.one_hot(0.1, 0.9) for part in mnist)
    with xpnn.use("numba"):
        xpnn.seed(0)
        model = nn.Sequential(
            nn.Flatten(), nn.Dense(784, 300, activation="sigmoid"), nn.Dense(300, 10, activation="sigmoid")
        )
    trainer = xpnn.Trainer(model, optim.SGD(lr=0.3), loss="half_sum_of_squares", metrics=["accuracy"])
    trainer.fit(train[:10_000], epochs=1, batch_size=1, progress=False)
    assert trainer.evaluate(test)["accuracy"] > 0.88


def test_the_cnn_reaches_99_2_per_cent(mnist):
    """With the settings of `xpnn train mnist --model cnn`."""
    usual = MNIST["cnn"]
    with xpnn.use("numba"):
        xpnn.seed(0)
        model = models.cnn((28, 28, 1), 10, usual.hidden, dropout=usual.dropout)
    course = optim.Cosine(usual.epochs)
    loss = losses.get("cross_entropy", label_smoothing=usual.smoothing)
    trainer = xpnn.Trainer(model, optim.Adam(lr=usual.lr), loss, ["accuracy"], schedule=course)
    trainer.fit(mnist[0], usual.epochs, usual.batch_size, jitter=usual.jitter, progress=False)
    assert trainer.evaluate(mnist[1])["accuracy"] >= 0.992
