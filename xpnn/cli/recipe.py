"""What `xpnn train` makes of its options: model, optimizer, targets, and settings that suit the data."""

from __future__ import annotations

from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from xpnn.cli.common import choose
from xpnn.errors import ConfigError, DataError

if TYPE_CHECKING:
    from xpnn.data import Dataset
    from xpnn.nn import Module
    from xpnn.optim import Optimizer, Schedule

MODELS = ("mlp",)


class Defaults(NamedTuple):
    """Settings for a kind of data; lr is Adam's, and the others' is a multiple of it."""

    hidden: tuple[int, ...]
    epochs: int
    batch_size: int
    lr: float
    dropout: float
    schedule: str


MNIST = Defaults((300,), 5, 64, 1e-3, 0.0, "cosine")
DIGITS = Defaults((300, 100), 20, 32, 3e-3, 0.4, "constant")
SMALL_SAMPLES = 10_000

OPTIMIZERS = {
    "sgd": ("SGD", 100.0),
    "momentum": ("Momentum", 20.0),
    "nesterov": ("Nesterov", 20.0),
    "adagrad": ("AdaGrad", 10.0),
    "rmsprop": ("RMSProp", 1.0),
    "adam": ("Adam", 1.0),
    "adamw": ("AdamW", 1.0),
}
"""The class in `xpnn.optim`, and how many times Adam's learning rate suits it."""

SQUASHED = ("mean_squared_error", "half_sum_of_squares", "l1", "huber")
"""Losses between numbers: the outputs go through a sigmoid and the targets are 0.1 and 0.9, which it can reach."""

TARGETS = {"binary_cross_entropy": (0.0, 1.0), "perceptron": (-1.0, 1.0), **dict.fromkeys(SQUASHED, (0.1, 0.9))}


def defaults_for(train: Dataset) -> Defaults:
    """Settings that suit the data: tried ones for MNIST and the digits, careful ones for others."""
    if train.name == "digits":
        return DIGITS
    return MNIST if len(train) >= SMALL_SAMPLES else MNIST._replace(epochs=20, batch_size=32, schedule="constant")


def parse_hidden(values: list[str]) -> tuple[int, ...]:
    """Sizes from "300", "300,100" or several of them; "0" means no hidden layer."""
    words = [word.strip() for value in values for word in value.split(",")]
    if words == ["0"]:
        return ()
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise ConfigError(
            f"--hidden: expected sizes above 0, as in 300 or 300,100, or 0 for none; got {', '.join(values)}"
        )
    return tuple(int(word) for word in words)


def build_model(
    name: str, train: Dataset, hidden: tuple[int, ...], activation: str, dropout: float, loss: str
) -> Module:
    """The network, with fresh weights, on the backend in use."""
    from xpnn import nn
    from xpnn.ops.activation import ACTIVATIONS

    choose("model", name, MODELS)
    choose("activation", activation, ACTIVATIONS)
    if not 0 <= dropout < 1:
        raise ConfigError(f"--dropout: expected a share from 0 up to 1; got {dropout}")
    assert train.classes is not None
    layers: list[nn.Module] = [nn.Flatten()]
    inputs = prod(train.x.shape[1:])
    for outputs in hidden:
        layers.append(nn.Dense(inputs, outputs, activation=activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = outputs
    layers.append(nn.Dense(inputs, train.classes, activation="sigmoid" if loss in SQUASHED else None))
    return nn.Sequential(*layers)


def make_schedule(name: str, epochs: int) -> Schedule:
    """The course of the learning rate over a run."""
    from xpnn import optim

    return optim.Cosine(epochs) if choose("schedule", name, ("cosine", "constant")) == "cosine" else optim.Constant()


def make_optimizer(name: str, lr: float | None, usual_lr: float) -> Optimizer:
    from xpnn import optim

    cls, times = OPTIMIZERS[choose("optimizer", name, OPTIMIZERS)]
    return getattr(optim, cls)(lr=usual_lr * times if lr is None else lr)


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


def describe_model(name: str, model: Module, hidden: tuple[int, ...], activation: str, dropout: float) -> str:
    weights = [p for _, p in model.named_parameters()]
    sizes = (weights[0].shape[0], *hidden, weights[-1].shape[-1])
    parts = [f"{name} {'-'.join(map(str, sizes))}", activation] if hidden else [f"{name} {'-'.join(map(str, sizes))}"]
    if dropout and hidden:
        parts.append(f"dropout {dropout:g}")
    return ", ".join([*parts, f"{sum(p.size for p in weights):,} parameters"])
