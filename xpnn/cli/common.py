"""What several commands share: data by name or path, a saved model, checks before the work starts."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpnn.errors import CheckpointError, DataError, unknown

if TYPE_CHECKING:
    from collections.abc import Iterable

    from xpnn.data import Dataset
    from xpnn.nn import Module

TEST_FRACTION = 0.2
"""Of a source without a test set so much is kept for testing."""

BackendOption = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="Where to compute: numpy, numba, cupy, cuda:N, cpu, or auto for the best there is."
    ),
]


def say(label: str, text: str) -> None:
    """One fact in a line, at once: others write to standard error meanwhile."""
    print(f"{label:<9} {text}", flush=True)


def choose(kind: str, name: str, known: Iterable[str]) -> str:
    """The name, when it is known; ConfigError with what is known and what may have been meant."""
    known = list(known)
    if name not in known:
        raise unknown(kind, name, known)
    return name


def need_place(path: Path, option: str) -> None:
    """DataError when a file cannot come to be there: better now than after an hour of training."""
    folder = path.parent
    if path.is_dir():
        why = "is a folder"
    elif not folder.exists():
        why = f"the folder {folder} does not exist"
    elif not folder.is_dir():
        why = f"{folder} is not a folder"
    elif not os.access(folder, os.W_OK | os.X_OK):
        why = f"no permission to write in {folder}"
    else:
        return
    raise DataError(f"{option} {path}: {why}")


# Data ---------------------------------------------------------------------------------------------------------------


def load_split(source: str, seed: int) -> tuple[Dataset, Dataset]:
    """(train, test) of a source; one without a test set gives a fifth of its samples."""
    from xpnn import data

    train, test = data.load(source)
    if test is None:
        train, test = train.split(TEST_FRACTION, seed)
    return replace(train, name=source), replace(test, name=source)


def same_source(source: str, other: str) -> bool:
    """One name, or two paths to one file or folder: ./letters.csv is letters.csv."""
    return source == other or (os.path.exists(source) and os.path.exists(other) and os.path.samefile(source, other))


def default_data(seed: int) -> tuple[Dataset, Dataset]:
    """MNIST, or the embedded digits and a line that says why."""
    try:
        return load_split("mnist", seed)
    except DataError as error:
        if not str(error).startswith("mnist: not found"):
            raise  # damaged files are not for us to pass over
        typer.echo(f"xpnn: {error}. Training on the embedded 8x8 digits instead", err=True)
        return load_split("digits", seed)


def size_of(data: Dataset) -> str:
    """The shape of a sample as people say it: 28x28, 32x32x3, 784 numbers."""
    shape = data.x.shape[1:]
    if len(shape) == 1:
        return f"{shape[0]} numbers"
    return "x".join(map(str, shape[:-1] if shape[-1] == 1 else shape))


# Saved models -------------------------------------------------------------------------------------------------------


@dataclass
class Saved:
    """A model from a file, with what the file tells of its input and training."""

    path: str
    model: Module
    shape: tuple[int, ...]
    """Of a sample; () where the file does not say."""
    classes: int
    scale: float | None
    shift: float
    data: str | None
    loss: str
    seed: int
    characters: str
    """The vocabulary of a model of a text; "" for other models."""

    def need_labels(self) -> None:
        """DataError for a model of a text."""
        if self.characters:
            raise DataError(f"{self.path}: was trained on a text; xpnn sample writes with it")

    def fit(self, data: Dataset) -> Dataset:
        """The data as this model was fed: its shape, scale and shift."""
        if self.shape and prod(data.x.shape[1:]) != prod(self.shape):
            mine = "x".join(map(str, self.shape))
            raise DataError(f"{data.name}: samples of {size_of(data)}; {self.path} was trained on {mine}")
        if (data.classes or 0) > self.classes:
            raise DataError(f"{data.name}: {data.classes} classes; {self.path} knows {self.classes}")
        x = data.x.reshape(len(data), *self.shape) if self.shape else data.x
        scale, shift = (data.scale, data.shift) if self.scale is None else (self.scale, self.shift)
        return replace(data, x=x, scale=scale, shift=shift, classes=None if data.y.ndim > 1 else self.classes)


def open_model(path: Path, backend: str) -> Saved:
    """A checkpoint of `xpnn train`, `Trainer.save` or `xpnn.save`, on a backend."""
    from xpnn.core.backend import use
    from xpnn.nn import Dense
    from xpnn.train import checkpoint

    contents = checkpoint.read(path)
    with use(backend):
        model = checkpoint.restore(path, contents).eval()
    dense = [module for _, module in model.named_modules() if isinstance(module, Dense)]
    if not dense:
        raise CheckpointError(f"{path}: expected a network with dense layers; there are none")
    state, told = contents.trainer or {}, contents.input
    try:
        first = next(model.parameters()).shape
        characters = str(told.get("characters", ""))
        if characters and (list(characters) != sorted({*characters}) or len(characters) != dense[-1].out_features):
            raise ValueError(f"{characters[:20]!r} are not the {dense[-1].out_features} characters of a vocabulary")
        return Saved(
            path=str(path),
            model=model,
            shape=tuple(int(n) for n in told.get("shape") or (first[:1] if len(first) == 2 else ())),
            classes=dense[-1].out_features,
            scale=float(told["scale"]) if "scale" in told else None,
            shift=float(told.get("shift", 0.0)),
            data=told.get("data"),
            loss=str(state.get("loss", "cross_entropy")),
            seed=int(state.get("seed", 0)),
            characters=characters,
        )
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: its description of the input is damaged: {error}") from None


def output_kind(saved: Saved) -> Any:
    """What the last layer's activation is; None for logits."""
    from xpnn.nn import Activation, Dense

    last = [module for _, module in saved.model.named_modules() if isinstance(module, (Dense, Activation))][-1]
    return last.activation if isinstance(last, Dense) else last.name
