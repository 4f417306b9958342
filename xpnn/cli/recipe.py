"""A classifier of labelled samples as `xpnn train` makes it: model, targets, and settings that suit the data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from xpnn.cli.common import choose, default_data, load_split, size_of
from xpnn.cli.job import SCHEDULES, Job, Wishes, describe, is_text, make_optimizer
from xpnn.errors import ConfigError, DataError, ShapeError

if TYPE_CHECKING:
    from xpnn.data import Dataset
    from xpnn.nn import Sequential


class Defaults(NamedTuple):
    """Settings for a kind of network and data; lr is Adam's, and the others' is a multiple of it."""

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    dropout: float
    schedule: str
    smoothing: float = 0.0
    """Of the labels, where the loss is the cross-entropy."""
    jitter: int = 0
    """Pixels by which training images are shifted at random."""


MNIST = {
    "mlp": Defaults((300,), 5, 64, 1e-3, 0.0, "cosine"),
    "cnn": Defaults((128,), 8, 128, 2e-3, 0.5, "cosine", smoothing=0.1, jitter=2),
    "lenet5": Defaults((), 10, 64, 2e-3, 0.0, "cosine"),
}
DIGITS = Defaults((300, 100), 20, 32, 3e-3, 0.4, "constant")
SMALL_SAMPLES = 10_000

SQUASHED = ("mean_squared_error", "half_sum_of_squares", "l1", "huber")
"""Losses between numbers: the outputs go through a sigmoid and the targets are 0.1 and 0.9, which it can reach."""

TARGETS = {"binary_cross_entropy": (0.0, 1.0), "perceptron": (-1.0, 1.0), **dict.fromkeys(SQUASHED, (0.1, 0.9))}


def job(source: str | None, wishes: Wishes) -> Job:
    """The training that was asked for."""
    from xpnn.core import random
    from xpnn.losses import LOSSES

    if is_text(source):
        raise ConfigError(f"{wishes.model}: expected labelled samples; {source} is a text. Use --model char-lstm")
    loss = choose("loss", wishes.loss or "cross_entropy", LOSSES)
    train, test = default_data(wishes.seed) if source is None else load_split(source, wishes.seed)
    usual = defaults_for(wishes.model, train)
    train, test = (fit_targets(part, loss) for part in fit_inputs(train, test))
    watched, held = test, ""
    if wishes.validation is not None:
        rest, watched = train.split(wishes.validation, wishes.seed)
        train, held = replace(rest, name=train.name), f"{len(watched):,} validation, "
    epochs, schedule = wishes.epochs or usual.epochs, wishes.schedule or usual.schedule
    random.seed(wishes.seed)
    network, about = build(wishes, usual, train, loss)
    counts = f"{len(train):,} training, {held}{len(test):,} test samples of {size_of(train)}"
    return Job(
        train,
        watched,
        test,
        network,
        make_optimizer(wishes.optimizer, wishes.lr, usual.lr),
        choose("schedule", schedule, SCHEDULES),
        loss,
        ("accuracy",),
        epochs,
        wishes.batch_size or usual.batch_size,
        facts=(("data", f"{train.name}: {counts}"), ("model", about)),
        verdict=lambda result: f"accuracy {100 * result['accuracy']:.2f} %, loss {result['loss']:.4g}",
        next="xpnn evaluate",
        smoothing=usual.smoothing if loss == "cross_entropy" else 0.0,
        jitter=usual.jitter if wishes.jitter is None else wishes.jitter,
    )


def defaults_for(model: str, train: Dataset) -> Defaults:
    """Settings that suit the data: tried ones for MNIST and the digits, careful ones for others."""
    if train.name == "digits" and model == "mlp":
        return DIGITS
    usual = MNIST[model]
    if len(train) >= SMALL_SAMPLES:
        return usual
    return usual._replace(epochs=20, batch_size=32, lr=1e-3, schedule="constant", smoothing=0.0, jitter=0)


def build(wishes: Wishes, usual: Defaults, train: Dataset, loss: str) -> tuple[Sequential, str]:
    """The network, with fresh weights, on the backend in use; and what to say of it."""
    from xpnn import models
    from xpnn.ops.activation import ACTIVATIONS

    wishes.need_none("layers", "sequence")
    wishes.need_share()
    activation = choose("activation", wishes.activation or "relu", ACTIVATIONS)
    hidden = wishes.sizes()
    hidden = usual.hidden if hidden is None else hidden
    dropout = usual.dropout if wishes.dropout is None else wishes.dropout
    shape, output = train.x.shape[1:], "sigmoid" if loss in SQUASHED else None
    assert train.classes is not None
    if train.classes == 1:  # the loss over one output is 0, whatever the network has learnt
        raise DataError(f"{train.name}: every label is 0; expected two classes at least")
    if train.classes > len(train):
        raise DataError(
            f"{train.name}: labels up to {train.classes - 1:,}, and {len(train):,} samples to learn them from. "
            "Are they labels? In a CSV file these come first"
        )
    try:
        if wishes.model == "lenet5":
            wishes.need_none("hidden", "dropout")
            network = models.lenet5(shape, train.classes, activation, output)
        else:
            network = models.MODELS[wishes.model](shape, train.classes, hidden, activation, dropout, output)
    except ShapeError as error:
        raise DataError(f"{train.name}: {error}") from None
    nonlinear = wishes.model != "mlp" or hidden
    return network, describe(
        wishes.model,
        network,
        activation if nonlinear else "",
        f"dropout {dropout:g}" if dropout and hidden else "",
    )


def fit_targets(data: Dataset, loss: str) -> Dataset:
    """The data with the targets that a loss takes: labels, or a number for each class."""
    if data.y.ndim == 2 and data.y.shape[1] < 2:
        raise DataError(f"{data.name}: one number a sample as target; xpnn train learns classes. Use xpnn.Trainer")
    return data.one_hot(*TARGETS[loss]) if loss in TARGETS else data


def fit_inputs(train: Dataset, test: Dataset) -> tuple[Dataset, Dataset]:
    """Both so that the network gets numbers of a size it learns from, by what the training set says.

    Pixels and their like go from 0 to 1, other numbers to mean 0 and standard deviation 1.
    """
    high = float(train.x.max())
    if not train.x.min() < high:
        raise DataError(f"{train.name}: every value is the same; there is nothing to learn from")
    if train.x.dtype.kind == "u":
        if high * train.scale < 0.5:  # grey levels that end at 16, or a mask of 0 and 1
            return replace(train, scale=1 / high), replace(test, scale=1 / high)
        return train, test
    if train.x.ndim > 2 and train.x.min() >= 0 and high <= 1:
        return train, test
    mean, std = train.moments()
    return train.normalise(mean, std), test.normalise(mean, std)
