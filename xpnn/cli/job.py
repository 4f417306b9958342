"""What the kinds of training that `xpnn train` knows have in common."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xpnn.cli.common import choose
from xpnn.errors import ConfigError

if TYPE_CHECKING:
    from xpnn.data import Dataset
    from xpnn.nn import Module, Sequential
    from xpnn.optim import Optimizer, Schedule

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

SCHEDULES = ("cosine", "constant")
SHORT = {
    "Dense": "{out_features}",
    "Conv2d": "conv{out_channels}",
    "MaxPool2d": "pool",
    "Embedding": "{features}",
    "LSTM": "lstm{hidden}",
}
"""What a layer is in the line that describes a network."""


@dataclass(frozen=True)
class Wishes:
    """What was asked for on the command line; None where nothing was."""

    model: str
    hidden: list[str] | None
    layers: int | None
    sequence: int | None
    epochs: int | None
    batch_size: int | None
    lr: float | None
    schedule: str | None
    optimizer: str
    activation: str | None
    loss: str | None
    dropout: float | None
    jitter: int | None
    validation: float | None
    seed: int

    def need_none(self, *options: str) -> None:
        """ConfigError for an option that means nothing to this kind of network."""
        for option in options:
            if getattr(self, option) is not None:
                raise ConfigError(f"--{option}: {self.model} has none")

    def need_share(self) -> None:
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise ConfigError(f"--dropout: expected a share from 0 up to 1; got {self.dropout}")

    def sizes(self) -> tuple[int, ...] | None:
        """--hidden: "300", "300,100" or several of them; "0" means no hidden layer."""
        if not self.hidden:
            return None
        words = [word.strip() for value in self.hidden for word in value.split(",")]
        if words == ["0"]:
            return ()
        if not all(word.isdecimal() and int(word) > 0 for word in words):
            given = ", ".join(self.hidden)
            raise ConfigError(f"--hidden: expected sizes above 0, as in 300 or 300,100, or 0 for none; got {given}")
        return tuple(int(word) for word in words)


@dataclass(frozen=True)
class Job:
    """A training that is ready to begin."""

    train: Dataset
    watched: Dataset
    """What the training is watched with: the test set, unless a share of the training set is held back for it."""
    test: Dataset
    network: Module
    optimizer: Optimizer
    schedule: str
    loss: str
    metrics: tuple[str, ...]
    epochs: int
    batch_size: int
    facts: tuple[tuple[str, str], ...]
    """What to say before the training."""
    verdict: Callable[[dict[str, Any]], str]
    """How good it is, from loss and metrics on the test set."""
    next: str
    """The command that takes the saved model, up to its name."""
    smoothing: float = 0.0
    """Of the labels."""
    jitter: int = 0
    """Pixels by which training images are shifted at random."""

    @property
    def loss_function(self) -> Any:
        """The loss with its options, for a Trainer."""
        from xpnn import losses

        return losses.get(self.loss, label_smoothing=self.smoothing) if self.smoothing else self.loss

    @property
    def loss_text(self) -> str:
        return f"smoothed {self.loss}" if self.smoothing else self.loss

    @property
    def images(self) -> str:
        """What is done to training images, for a line of settings."""
        return f", jitter {self.jitter}" if self.jitter else ""

    @property
    def batch(self) -> str:
        """Its size; of a text, streams and the characters that gradients go back over."""
        return f"{self.batch_size}x{self.train.x.shape[1]}" if self.train.streams else str(self.batch_size)

    @property
    def course(self) -> Schedule:
        """Of the learning rate over the epochs."""
        from xpnn import optim

        return optim.Cosine(self.epochs) if self.schedule == "cosine" else optim.Constant()


def make_optimizer(name: str, lr: float | None, usual_lr: float, clip_norm: float | None = None) -> Optimizer:
    from xpnn import optim

    cls, times = OPTIMIZERS[choose("optimizer", name, OPTIMIZERS)]
    return getattr(optim, cls)(lr=usual_lr * times if lr is None else lr, clip_norm=clip_norm)


def describe(name: str, network: Sequential, *more: str) -> str:
    """The network in a line: its name, its layers, what more there is to say of it, how many parameters."""
    layers = [SHORT.get(type(layer).__name__, "").format(**vars(layer)) for layer in network]
    first = next(network.parameters())
    inputs = [str(first.shape[0])] if first.ndim == 2 else []  # of a convolution its channels, which say little
    count = sum(p.size for p in network.parameters())
    sizes = "-".join([*inputs, *filter(None, layers)])
    return ", ".join([f"{name} {sizes}", *filter(None, more), f"{count:,} parameters"])


def is_text(source: str | None) -> bool:
    """Is this the name of a text, by its ending?"""
    return source is not None and Path(source).name.lower().endswith((".txt", ".txt.gz"))
