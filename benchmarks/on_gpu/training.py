"""A training step of a network with Adam: recorded by `xpnn.capture`, and by `Trainer.fit` with its batches."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import xpnn
from xpnn import models, optim
from xpnn.data import Dataset
from xpnn.errors import ConfigError
from xpnn.train import Callback
from xpnn_benchmarks.on_gpu.contest import Lane, Makers, contest
from xpnn_benchmarks.on_gpu.isolation import Skip
from xpnn_benchmarks.peers.works import Arrays, Work

LR, CHECKED = 1e-3, 6
"""CHECKED: steps whose losses are compared, each on another batch."""
FITTED = 64
"""Batches of the epoch that `Trainer.fit` is timed with."""
PRECISIONS = ("fast", "tf32", "bf16")
CLOSE = {"exact": 1e-4, "fast": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""How far losses may be apart: Adam's first steps are as large for small gradients as for others, which makes much of
what a convolution in another order, or with operands of 11 or 8 bits, has of errors."""
BUILD = {
    "mlp": partial(models.mlp, (28, 28, 1), 10),
    "cnn": partial(models.cnn, (28, 28, 1), 10, dropout=0.0),
    "lenet5": partial(models.lenet5, (28, 28, 1), 10),
}


def choose(precision: str) -> None:
    """From here on in this process. Skip: where xpnn does not know it yet."""
    try:
        xpnn.precision(precision)
    except ConfigError:
        raise Skip(f"precision {precision!r} is not here yet") from None


def inputs(model: str, batch: int) -> Arrays:
    """The weights, and images and labels of the batches that are compared."""
    return Work("", "training", {"model": model, "steps": CHECKED, "batch": batch}).inputs()


def begun(model_name: str, a: Arrays, place: Any) -> tuple[Any, Any]:
    with xpnn.use(place):
        model = BUILD[model_name]()
    for i, p in enumerate(model.parameters()):
        p.assign(a[f"p{i}"])
    return model, optim.Adam(model, lr=LR)


def batches(a: Arrays, batch: int, place: Any) -> list[tuple[Any, Any]]:
    x, y = a["x"].astype(np.float32) / 255, a["y"].astype(np.int64)
    return [
        (xpnn.tensor(x[i : i + batch], backend=place), xpnn.tensor(y[i : i + batch], backend=place))
        for i in range(0, len(x), batch)
    ]


def captured(model_name: str, batch: int, a: Arrays, place: Any) -> Lane:
    """The losses are those of the recorded step; timed is the same step on one batch, which stays where it is."""

    def started() -> tuple[Any, Any, Callable[[Any, Any], Any]]:
        model, optimizer = begun(model_name, a, place)

        def train(x: Any, labels: Any) -> Any:
            loss = xpnn.losses.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        return model, optimizer, train

    given = batches(a, batch, place)
    recorded = xpnn.capture(started()[2])
    losses = [recorded(x, labels).item() for x, labels in given]
    model, optimizer, _ = started()
    x, labels = given[0]

    def step() -> None:
        loss = xpnn.losses.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return Lane(xpnn.capture(step), {"losses": np.array(losses)})


class Losses(Callback):
    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_step_end(self, trainer: Any, loss: Any) -> None:
        self.seen.append(loss.item())


def fitted(model_name: str, batch: int, a: Arrays, place: Any) -> Lane:
    """`Trainer.fit`, an epoch a step: with what gathers and shuffles the batches, and what counts the loss."""

    def trainer(*callbacks: Callback) -> Any:
        model, optimizer = begun(model_name, a, place)
        return xpnn.Trainer(model, optimizer, callbacks=callbacks)

    pixels = Dataset(a["x"], a["y"], scale=1 / 255, classes=10)
    losses = Losses()
    trainer(losses).fit(pixels, 1, batch, shuffle=False, progress=False)
    rows = np.arange(FITTED * batch) % len(a["x"])
    longer, timed = Dataset(a["x"][rows], a["y"][rows], scale=1 / 255, classes=10), trainer()
    run = partial(timed.fit, longer, 1, batch, progress=False)
    return Lane(run, {"losses": np.array(losses.seen)}, FITTED)


def network(bench: Any, model: str, batch: int, precision: str) -> dict[str, Any]:
    """The row of a network."""
    choose(precision)
    a = inputs(model, batch)
    makers: Makers = {"xpnn": partial(captured, model, batch, a, bench.place)}
    makers |= bench.torch("training", model, batch, a, precision)
    makers["xpnn Trainer.fit"] = partial(fitted, model, batch, a, bench.place)
    return contest(bench, makers, CLOSE[precision])
