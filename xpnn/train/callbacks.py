"""The callbacks that come with the library: stopping early, saving, a log."""

from __future__ import annotations

import math
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.data.files import AnyPath, write_whole
from xpnn.errors import CheckpointError, ConfigError, DataError, unknown
from xpnn.train.callback import Callback, Row

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class Watcher(Callback):
    """The base of those that watch a number of each row: "loss" or the name of a metric, or "val_" and one of these.

    Less is better for the loss; a metric says it by `higher_is_better`. ConfigError at the start of `fit` for a name
    that no row will have, and for a metric without an order.
    """

    monitor: str | None

    def on_fit_start(self, trainer: Trainer) -> None:
        if self.monitor is None:
            return
        owner, name, plain = type(self).__name__, self.monitor, self.monitor.removeprefix("val_")
        known = [column for column in trainer.columns if column not in ("epoch", "lr", "seconds", "samples_per_s")]
        if name not in known and plain in known:
            raise ConfigError(f"{owner}: expected a validation set for {name!r}; got none. Use fit(validation=...)")
        if name not in known:
            raise unknown(f"{owner}: monitor", name, known)
        if any(m.name == plain and m.higher_is_better is None for m in trainer.metrics):
            raise ConfigError(f"{owner}: expected a number that can be better or worse to watch; {name!r} has no order")

    def reading(self, trainer: Trainer, row: Row) -> float | None:
        """The number in this row, negative where more is better: so less is better. None where there is no validation
        in an epoch and it is of the validation."""
        assert self.monitor is not None
        plain = self.monitor.removeprefix("val_")
        if self.monitor not in row:
            if plain != self.monitor and "val_loss" not in row:
                return None
            raise ConfigError(f"{type(self).__name__}: expected a number to watch; {self.monitor!r} is none")
        more = any(m.name == plain and m.higher_is_better for m in trainer.metrics)
        return -row[self.monitor] if more else row[self.monitor]


class EarlyStopping(Watcher):
    """Stop when `monitor` has not been better than its best by more than min_delta for `patience` epochs in a row.

    Epochs without validation do not count where it is of the validation. restore_best: go back to the weights of the
    best epoch at the end. Prechelt, "Early stopping - but when?" (1998).
    """

    def __init__(
        self, monitor: str = "val_loss", patience: int = 5, min_delta: float = 0.0, restore_best: bool = True
    ) -> None:
        if patience < 1 or min_delta < 0:
            raise ConfigError(f"EarlyStopping: expected patience >= 1, min_delta >= 0; got {patience}, {min_delta}")
        self.monitor, self.patience, self.min_delta, self.restore_best = monitor, patience, min_delta, restore_best
        self.best, self.waited = math.inf, 0
        self._weights: dict[str, np.ndarray] = {}

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        value = self.reading(trainer, row)
        if value is None:
            return
        if value < self.best - self.min_delta:
            self.best, self.waited = value, 0
            self._weights = trainer.model.state() if self.restore_best else {}
        else:
            self.waited += 1
            trainer.stop = trainer.stop or self.waited >= self.patience

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._weights:
            trainer.model.load_state(self._weights)

    def state(self) -> dict[str, Any]:
        return {"best": _number(self.best), "waited": self.waited}

    def arrays(self) -> dict[str, np.ndarray]:
        return self._weights

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.best, self.waited, self._weights = _best(state["best"]), int(state["waited"]), arrays


class StopOnRise(Watcher):
    """Look at `monitor` every `every` epochs and stop when it is worse than at the last look.

    The textbook rule "evaluate every k epochs, stop when the error rate rises". A look at an epoch without validation
    is left out where it is of the validation.
    """

    def __init__(self, monitor: str = "val_accuracy", every: int = 1) -> None:
        if every < 1:
            raise ConfigError(f"StopOnRise: expected every >= 1; got {every}")
        self.monitor, self.every = monitor, every
        self.last = math.inf

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        value = None if row["epoch"] % self.every else self.reading(trainer, row)
        if value is not None:
            trainer.stop = trainer.stop or value > self.last
            self.last = value

    def state(self) -> dict[str, Any]:
        return {"last": _number(self.last)}

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.last = _best(state["last"])


class Checkpoint(Watcher):
    """Save the whole training, every epoch or every so many steps, or when `monitor` has a new best.

    path          may hold {epoch}, {step} and the names of a row: "model-{epoch:03d}-{val_loss:.4f}.safetensors";
                  where it names a number of the validation, epochs without validation are not saved
    every_steps   save after every so many steps too, besides the ends of epochs
    every_epochs  save after every so many epochs
    monitor       save only when this is better than ever before

    `last` is where it saved last, None before that. At the start of `fit`: ConfigError for a name in `path` that there
    will not be, CheckpointError for a folder that is not there.
    """

    def __init__(
        self, path: AnyPath, *, every_steps: int | None = None, every_epochs: int = 1, monitor: str | None = None
    ) -> None:
        if every_epochs < 1 or (every_steps is not None and every_steps < 1):
            raise ConfigError(f"Checkpoint: expected positive intervals; got {every_epochs} and {every_steps}")
        if every_steps is not None and monitor is not None:
            raise ConfigError("Checkpoint: expected every_steps or monitor, not both: a value comes once an epoch")
        self.path, self.every_steps, self.every_epochs, self.monitor = str(path), every_steps, every_epochs, monitor
        self.best = math.inf
        self.last: str | None = None
        self._due = False

    def _target(self, names: dict[str, Any]) -> str:
        try:
            return self.path.format(**names)
        except (LookupError, ValueError, TypeError, AttributeError) as error:
            raise ConfigError(f"Checkpoint: {self.path!r} asks for {error}; there are {', '.join(names)}") from None

    def on_fit_start(self, trainer: Trainer) -> None:
        super().on_fit_start(trainer)
        numbers = dict.fromkeys(trainer.columns, 1.0) if self.every_steps is None else {}
        target = self._target({**numbers, "epoch": 1, "step": 1})
        self._validated = any(name and name.startswith("val_") for _, name, _, _ in Formatter().parse(self.path))
        if "{" not in str(Path(self.path).parent):
            _need_folder(target, CheckpointError)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        self._due = False
        if self._validated and "val_loss" not in row:
            return
        if self.monitor is None:
            self._due = row["epoch"] % self.every_epochs == 0
            return
        value = self.reading(trainer, row)
        if value is not None and value < self.best:
            self._due, self.best = True, value

    def on_settled(self, trainer: Trainer, row: Row | None) -> None:
        after_step = self.every_steps is not None and trainer.step % self.every_steps == 0
        if after_step if row is None else self._due:
            target = self._target({**(row or {}), "epoch": trainer.epoch, "step": trainer.step})
            trainer.save(target)
            self.last = target

    def state(self) -> dict[str, Any]:
        return {"best": _number(self.best)}

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.best = _best(state["best"])


class CSVLog(Callback):
    """The history as a CSV file, rewritten whole after every epoch: a reader never sees half a line."""

    def __init__(self, path: AnyPath) -> None:
        self.path = Path(path)

    def on_fit_start(self, trainer: Trainer) -> None:
        _need_folder(self.path, DataError)

    def on_settled(self, trainer: Trainer, row: Row | None) -> None:
        if row is None:
            return
        columns = trainer.history.columns
        lines = [",".join(columns)]
        lines += [",".join(str(r.get(name, "")) for name in columns) for r in trainer.history.rows]
        write_whole(self.path, ["\n".join(lines).encode() + b"\n"])


def _need_folder(path: AnyPath, error: type[Exception]) -> None:
    folder = Path(path).parent
    if not folder.is_dir():
        raise error(f"{path}: cannot be written: the folder {folder} does not exist")


def _number(best: float) -> float | None:
    """For JSON, which has no infinity."""
    return None if math.isinf(best) else best


def _best(number: float | None) -> float:
    return math.inf if number is None else float(number)
