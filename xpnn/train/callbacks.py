"""Callbacks: what may look at training, save it, or stop it. Write your own as a subclass with the hooks it needs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.core.tensor import Tensor
from xpnn.data.files import AnyPath, write_whole
from xpnn.errors import ConfigError

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer

Row = dict[str, float]


class Callback:
    """Every hook does nothing here. `trainer.stop = True` ends training after the present step.

    `state` (plain JSON-able data) and `arrays` go through checkpoints, so that a resumed run decides as the
    uninterrupted one would.
    """

    def on_fit_start(self, trainer: Trainer) -> None: ...
    def on_loss(self, trainer: Trainer, x: Tensor, loss: Tensor) -> None:
        """After the forward pass of a step and before anything changes."""

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None: ...
    def on_epoch_end(self, trainer: Trainer, row: Row) -> None: ...
    def on_fit_end(self, trainer: Trainer) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None: ...


def monitored(row: Row, name: str, owner: str) -> float:
    """The value of this name in a row, or ConfigError with the names there are."""
    if name not in row:
        raise ConfigError(f"{owner}: expected one of {', '.join(row)} to watch; got {name!r}")
    return row[name]


def is_loss(name: str) -> bool:
    """Is less better? Of losses and errors it is."""
    return name.endswith(("loss", "error"))


class EarlyStopping(Callback):
    """Stop when `monitor` has not been better than its best by more than min_delta for `patience` epochs in a row.

    restore_best: go back to the weights of the best epoch at the end. Prechelt, "Early stopping - but when?" (1998).
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
        if self.monitor.startswith("val_") and self.monitor not in row and row["epoch"] % trainer.validate_every:
            return
        value = monitored(row, self.monitor, "EarlyStopping")
        value = value if is_loss(self.monitor) else -value
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
        return {"best": None if math.isinf(self.best) else self.best, "waited": self.waited}

    def arrays(self) -> dict[str, np.ndarray]:
        return self._weights

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.best = math.inf if state["best"] is None else float(state["best"])
        self.waited = int(state["waited"])
        self._weights = arrays


class StopOnRise(Callback):
    """Look at `monitor` every `every` epochs and stop when it is worse than at the last look.

    The textbook rule "evaluate every k epochs, stop when the error rate rises".
    """

    def __init__(self, monitor: str = "val_accuracy", every: int = 1) -> None:
        if every < 1:
            raise ConfigError(f"StopOnRise: expected every >= 1; got {every}")
        self.monitor, self.every = monitor, every
        self.last = math.inf

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        if row["epoch"] % self.every:
            return
        value = monitored(row, self.monitor, "StopOnRise")
        value = value if is_loss(self.monitor) else -value
        trainer.stop = trainer.stop or value > self.last
        self.last = value

    def state(self) -> dict[str, Any]:
        return {"last": None if math.isinf(self.last) else self.last}

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.last = math.inf if state["last"] is None else float(state["last"])


class Checkpoint(Callback):
    """Save the whole training, every epoch or every so many steps, or when `monitor` has a new best.

    path          may hold {epoch}, {step} and the names of a row: "model-{epoch:03d}-{val_loss:.4f}.safetensors"
    every_steps   save after every so many steps too, besides the ends of epochs
    every_epochs  save after every so many epochs
    monitor       save only when this is better than ever before

    `last` is where it saved last, None before that.
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

    def _save(self, trainer: Trainer, row: Row) -> None:
        names: dict[str, Any] = {**row, "epoch": trainer.epoch, "step": trainer.step}
        try:
            target = self.path.format(**names)
        except (KeyError, IndexError, ValueError) as error:
            raise ConfigError(f"Checkpoint: {self.path!r} asks for {error}; there are {', '.join(names)}") from None
        trainer.save(target)
        self.last = target

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
        if self.every_steps is not None and trainer.step % self.every_steps == 0:
            self._save(trainer, {})

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        if self.monitor is not None:
            value = monitored(row, self.monitor, "Checkpoint")
            value = value if is_loss(self.monitor) else -value
            if not value < self.best:
                return
            self.best = value
        elif row["epoch"] % self.every_epochs:
            return
        self._save(trainer, row)

    def state(self) -> dict[str, Any]:
        return {"best": None if math.isinf(self.best) else self.best}

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.best = math.inf if state["best"] is None else float(state["best"])


class CSVLog(Callback):
    """The history as a CSV file, rewritten whole after every epoch: a reader never sees half a line."""

    def __init__(self, path: AnyPath) -> None:
        self.path = Path(path)

    def on_epoch_end(self, trainer: Trainer, row: Row) -> None:
        columns = trainer.history.columns
        lines = [",".join(columns)]
        lines += [",".join(str(r.get(name, "")) for name in columns) for r in trainer.history.rows]
        write_whole(self.path, ["\n".join(lines).encode() + b"\n"])
