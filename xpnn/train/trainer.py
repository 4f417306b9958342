"""The Trainer: fit, evaluate, predict, and a training that can stop anywhere and go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn import losses, optim
from xpnn.core import random
from xpnn.core.tape import no_grad
from xpnn.core.tensor import Tensor, tensor
from xpnn.data.batches import Batches
from xpnn.data.dataset import Dataset
from xpnn.data.files import AnyPath
from xpnn.errors import CheckpointError, ConfigError, XpnnError
from xpnn.nn import Module
from xpnn.optim import Optimizer
from xpnn.train import checkpoint
from xpnn.train.callbacks import Callback, Row
from xpnn.train.guard import FiniteGuard
from xpnn.train.history import History
from xpnn.train.meter import Meter
from xpnn.train.progress import Progress


class Trainer:
    """Trains a model on the backend where it lives.

    model, optimizer   an object or its name; it is bound to the model here unless it has parameters already
    loss               name or function (output, target) -> scalar Tensor; see `xpnn.losses`
    metrics            names or objects of `xpnn.metrics`, kept for training and validation alike
    callbacks          see `xpnn.train.callbacks`; a FiniteGuard is added unless there is one
    schedule           a factor on the optimizer's learning rate, or its name; see `xpnn.optim.schedule`
    seed               of the shuffles

    Present state: `epoch` (epochs finished), `step` (updates made), `history`; `stop = True` ends after this step.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | str,
        loss: str | Callable[[Tensor, Any], Tensor] = "cross_entropy",
        metrics: Sequence[Any] = (),
        callbacks: Sequence[Callback] = (),
        schedule: Any = None,
        seed: int = 0,
    ) -> None:
        self.model, self.optimizer = model, optim.get(optimizer)
        if not self.optimizer.bound:
            self.optimizer.bind(model)
        self.loss = losses.get(loss)
        self.callbacks = list(callbacks)
        if not any(isinstance(c, FiniteGuard) for c in self.callbacks):
            self.callbacks.insert(0, FiniteGuard())
        self.schedule, self.seed = optim.schedule.get(schedule), seed
        self._metrics = list(metrics)
        self._meter = Meter(self._metrics)
        self.history = History()
        self.epoch = self.step = 0
        self.stop = False
        self.validate_every = 1
        self._base_lr = self.optimizer.lr
        self._batch = 0  # batches done in the epoch that is under way
        self._run: dict[str, Any] = {}  # the settings of the fit under way: a resumed one must have the same
        self._evaluated: tuple[Any, Batches] | None = None

    # Training -----------------------------------------------------------------------------------------------------

    def fit(
        self,
        train: Dataset,
        epochs: int,
        batch_size: int = 64,
        validation: Dataset | None = None,
        *,
        validate_every: int = 1,
        shuffle: bool = True,
        progress: bool = True,
        resume: AnyPath | None = None,
    ) -> History:
        """Train for `epochs` more epochs and give the history.

        batch_size      1 is stochastic, len(train) full-batch gradient descent
        validate_every  evaluate on `validation` after every so many epochs, and after the last
        shuffle         another order every epoch, from the trainer's seed
        progress        show a progress bar
        resume          a checkpoint of an interrupted run of this very call: go on where it was, to the same end; on
                        the same backend the weights come out the same bit for bit

        Raises ConfigError for settings out of range, NumericError when the loss is not finite, CheckpointError when
        `resume` does not fit.
        """
        if epochs < 1 or validate_every < 1:
            raise ConfigError(f"fit: expected epochs and validate_every >= 1; got {epochs} and {validate_every}")
        self.validate_every = validate_every
        batches = Batches(train, batch_size, self.model.backend, self.optimizer.arena.dtype, shuffle, self.seed)
        run = {"samples": len(train), "batch_size": batches.batch_size, "shuffle": shuffle, "epochs": epochs}
        self.model.input_format = {
            "shape": list(train.x.shape[1:]),
            "scale": train.scale,
            "shift": train.shift,
            "classes": train.classes,
            "data": train.name,
        }
        if resume is not None:
            self.resume(resume, run)
        else:
            self._run = {**run, "last": self.epoch + epochs}
            self._batch = 0
            self._meter.reset()
        self.stop = False
        for callback in self.callbacks:
            callback.on_fit_start(self)
        with Progress(self, len(batches), enabled=progress) as bar:
            while self.epoch < self._run["last"] and not self.stop:
                self._fit_epoch(batches, validation, bar)
        for callback in self.callbacks:
            callback.on_fit_end(self)
        self.model.eval()
        return self.history

    def _fit_epoch(self, batches: Batches, validation: Dataset | None, bar: Progress) -> None:
        on_loss = _overridden(self.callbacks, "on_loss")
        on_step_end = _overridden(self.callbacks, "on_step_end")
        start, first = time.perf_counter(), self._batch
        self.model.train()
        bar.start(self.epoch + 1, first)
        for x, y in batches.epoch(self.epoch, first):
            self._set_lr(len(batches))
            output = self.model(x)
            loss = self.loss(output, y)
            for callback in on_loss:
                callback.on_loss(self, x, loss)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self._meter.update(loss, output, y, len(x))
            self.step += 1
            self._batch += 1
            for callback in on_step_end:
                callback.on_step_end(self, loss)
            bar.advance(len(x))
            if self.stop and self._batch < len(batches):
                return
        seconds = time.perf_counter() - start
        samples = min((self._batch - first) * batches.batch_size, len(batches.dataset))
        self._end_epoch(validation, seconds, samples, bar)

    def _end_epoch(self, validation: Dataset | None, seconds: float, samples: int, bar: Progress) -> None:
        self.epoch += 1
        self._batch = 0
        row: Row = {"epoch": self.epoch, **self._meter.value()}
        self._meter.reset()
        last = self.stop or self.epoch == self._run["last"]
        if validation is not None and (last or self.epoch % self.validate_every == 0):
            row |= {f"val_{name}": value for name, value in self.evaluate(validation).items()}
        row |= {"lr": self.optimizer.lr, "seconds": seconds, "samples_per_s": samples / seconds if seconds else 0.0}
        self.history.rows.append(row)
        self.schedule.observe(row.get("val_loss", row["loss"]))
        for callback in self.callbacks:
            callback.on_epoch_end(self, row)
        bar.finish(row)

    def _set_lr(self, steps_per_epoch: int) -> None:
        self.optimizer.lr = self._base_lr * self.schedule.factor(self.step, steps_per_epoch)

    # Using what was trained -----------------------------------------------------------------------------------------

    def evaluate(self, data: Dataset, batch_size: int = 256) -> dict[str, float]:
        """Loss and metrics over a data set, without dropout and without a graph: {"loss": ..., "accuracy": ...}."""
        meter = Meter(self._metrics)
        for output, y, n in self._outputs(data, batch_size):
            with no_grad():
                meter.update(self.loss(output, y), output, y, n)
        return meter.value()

    def predict(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The model's outputs (N, ...) for a Dataset, scaled as it says, or for an array as it is; on the host."""
        if isinstance(x, Dataset):
            return np.concatenate([output.numpy().copy() for output, _, _ in self._outputs(x, batch_size)])
        rows = tensor(x, self.optimizer.arena.dtype, self.model.backend)
        parts = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
        return np.concatenate([self._quiet(part).numpy() for part in parts])

    def _outputs(self, data: Dataset, batch_size: int):
        for x, y in self._evaluation_batches(data, batch_size).epoch():
            yield self._quiet(x), y, len(x)

    def _evaluation_batches(self, data: Dataset, batch_size: int) -> Batches:
        """Those of the last time where they fit: a validation set goes to a device once, not every epoch."""
        wanted = (data, min(batch_size, len(data)), self.model.backend)
        if self._evaluated is None or wanted != self._evaluated[0]:
            self._evaluated = wanted, Batches(data, batch_size, self.model.backend, self.optimizer.arena.dtype)
        return self._evaluated[1]

    def _quiet(self, x: Tensor) -> Tensor:
        """One forward pass as in evaluation, with the mode put back."""
        was_training = self.model.training
        self.model.eval()
        try:
            with no_grad():
                return self.model(x)
        finally:
            self.model.train(was_training)

    # Stopping and going on ------------------------------------------------------------------------------------------

    def save(self, path: AnyPath) -> None:
        """Everything, in one file that appears whole or not at all; `fit(..., resume=path)` goes on from it."""
        parts = {"model": self.model.state(), "optimizer": self.optimizer.state(), "callback": {}}
        for i, callback in enumerate(self.callbacks):
            parts["callback"] |= {f"{i}/{name}": array for name, array in callback.arrays().items()}
        checkpoint.write(path, self.model, parts, self.state())

    def state(self) -> dict[str, Any]:
        """Where training is, as plain data: what a checkpoint keeps beside the arrays."""
        return {
            "optimizer": type(self.optimizer).__name__,
            "loss": _name(self.loss),
            "epoch": self.epoch,
            "step": self.step,
            "batch": self._batch,
            "seed": self.seed,
            "base_lr": self._base_lr,
            "run": self._run,
            "meter": self._meter.state(),
            "history": self.history.rows,
            "schedule": self.schedule.state(),
            "callbacks": [[type(callback).__name__, callback.state()] for callback in self.callbacks],
            "random": random.DEFAULT.state.tolist(),
        }

    def resume(self, path: AnyPath, run: dict[str, Any] | None = None) -> None:
        """Take over a training that `save` wrote, all or nothing. CheckpointError when it is not of this trainer."""
        contents = checkpoint.read(path)
        state = contents.trainer
        if state is None:
            raise CheckpointError(f"{path}: holds a model alone; load it with xpnn.load(path, into=model)")
        before = self.model.state(), self.optimizer.state()
        try:
            self._check(path, state, run)
            checkpoint.restore(path, contents, into=self.model)
            self.optimizer.load_state(contents.optimizer)
            self._take(state, contents.callback)
        except (KeyError, TypeError, ValueError, XpnnError) as error:
            self.model.load_state(before[0])
            self.optimizer.load_state(before[1])
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path}: does not fit this training: {error}") from None

    def _check(self, path: AnyPath, state: dict[str, Any], run: dict[str, Any] | None) -> None:
        mine, theirs = ({**s, **r} for s, r in ((self.state(), run or {}), (state, state["run"])))
        names = [[name for name, _ in s["callbacks"]] for s in (mine, theirs)]
        pairs = [(key, mine[key], theirs[key]) for key in ("optimizer", "loss", "seed", "base_lr", *(run or {}))]
        for key, here, there in [*pairs, ("callbacks", *names)]:
            if here != there:
                raise CheckpointError(f"{path}: is of another training: {key} there is {there}; here it is {here}")

    def _take(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
        self.epoch, self.step, self._batch = int(state["epoch"]), int(state["step"]), int(state["batch"])
        self._run = state["run"]
        self._meter.load_state(state["meter"])
        self.history.rows = list(state["history"])
        self.schedule.load_state(state["schedule"])
        for i, (callback, (_, entry)) in enumerate(zip(self.callbacks, state["callbacks"], strict=True)):
            own = {name.removeprefix(f"{i}/"): a for name, a in arrays.items() if name.startswith(f"{i}/")}
            callback.load_state(entry, own)
        random.DEFAULT.state = np.array(state["random"], np.uint32)


def _overridden(callbacks: Sequence[Callback], hook: str) -> list[Any]:
    """The callbacks that have a hook of their own: a step should not call thirty functions that do nothing."""
    return [c for c in callbacks if getattr(type(c), hook) is not getattr(Callback, hook)]


def _name(function: Any) -> str:
    """What a loss is called, whatever options it was given by `partial`."""
    return getattr(getattr(function, "func", function), "__name__", type(function).__name__)
