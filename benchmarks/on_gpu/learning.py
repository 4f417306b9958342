"""MNIST to 99 %: seconds of training, epoch by epoch, until the test set says so."""

from __future__ import annotations

from typing import Any

import numpy as np

import xpnn
from xpnn import data, models, optim
from xpnn.data import Dataset
from xpnn.errors import DataError
from xpnn.train import Callback
from xpnn_benchmarks.on_gpu.isolation import Skip
from xpnn_benchmarks.on_gpu.training import choose

GOAL, EPOCHS, BATCH, LR, DROPOUT = 0.99, 8, 256, 2e-3, 0.25


class Reached(Callback):
    def on_epoch_end(self, trainer: Any, row: dict[str, float]) -> None:
        trainer.stop = trainer.stop or row["val_accuracy"] >= GOAL


def sets() -> tuple[Any, Any]:
    try:
        return data.mnist(download=False)
    except DataError as error:
        raise Skip(f"MNIST was not found ({error}); give its folder by --data or XPNN_DATA") from None


def part(whole: Any, count: int) -> Any:
    return Dataset(whole.x[:count], whole.y[:count], scale=1 / 255, classes=10)


def learn(place: Any, train: Any, test: Any, epochs: int) -> list[dict[str, float]]:
    """The rows of the history, up to the goal or the last epoch."""
    xpnn.seed(0)
    with xpnn.use(place):
        model = models.cnn((28, 28, 1), 10, dropout=DROPOUT)
    trainer = xpnn.Trainer(model, optim.Adam(lr=LR), metrics=["accuracy"], callbacks=[Reached()])
    return trainer.fit(train, epochs, BATCH, validation=test, progress=False).rows


def mnist(bench: Any, precision: str) -> dict[str, Any]:
    """{"to_goal_s": seconds of training until 99 %, None if it was not reached; "accuracies"}. Kernels are compiled
    before, and the evaluation is no training."""
    choose(precision)
    train, test = sets()
    learn(bench.place, part(train, 4 * BATCH), part(test, 2 * BATCH), 1)
    rows = learn(bench.place, train, test, EPOCHS)
    accuracies = [row["val_accuracy"] for row in rows]
    reached = accuracies[-1] >= GOAL
    return {
        "to_goal_s": float(np.sum([row["seconds"] for row in rows])) if reached else None,
        "epoch_s": [row["seconds"] for row in rows],
        "accuracies": accuracies,
        "text": f"test accuracy after each epoch {', '.join(f'{100 * a:.2f} %' for a in accuracies)}",
    }
