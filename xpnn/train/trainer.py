"""The Trainer: fit, evaluate, predict, and a training that can stop anywhere and go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from xpnn import losses, optim
from xpnn.core.plan import copied
from xpnn.core.tensor import Tensor
from xpnn.data.batches import Batches
from xpnn.data.dataset import Dataset, need_dataset
from xpnn.data.files import AnyPath
from xpnn.errors import BackendError
from xpnn.metrics import Metric
from xpnn.metrics import get as get_metric
from xpnn.nn import Module
from xpnn.nn.recurrent import begin_anew
from xpnn.optim import Optimizer
from xpnn.train import resume as resuming
from xpnn.train.callback import Callback, Row, overridden
from xpnn.train.checks import need_all_bound, need_callbacks, need_module, several, takes_dataset, whole
from xpnn.train.evaluator import Evaluator
from xpnn.train.guard import FiniteGuard
from xpnn.train.history import History, columns_of, numbers
from xpnn.train.meter import Meter
from xpnn.train.progress import Progress
from xpnn.train.step import recorded
from xpnn.train.targets import need_logits, need_targets


class Trainer(Evaluator):
    """Trains a model on the backend where it lives.

    model, optimizer   an object or its name; it is bound to the model here unless it has parameters already
    loss               name or function (output, target) -> scalar Tensor, a mean over the batch; see `xpnn.losses`.
                       (Of a sum, the reported loss would depend on the batch size: batches count by their samples.)
    metrics            names or objects of `xpnn.metrics`, kept for training and validation alike; one or a list
    callbacks          see `xpnn.train.callbacks`, one or a list; a FiniteGuard is added unless there is one
    schedule           a factor on the optimizer's learning rate, or its name; see `xpnn.optim.schedule`. A Plateau is
                       told the validation loss of epochs that have one, the training loss where there is no validation
    seed               of the shuffles

    Present state: `epoch` (epochs finished), `step` (updates made), `history`, `columns` (the names that a row of the
    present fit may have); `stop = True` ends after this step. ConfigError for an unknown name, and for an optimizer
    that does not train every parameter that wants a gradient.
    """

    def __init__(
        self,
        model: Module,
        optimizer: Optimizer | str,
        loss: str | Callable[[Tensor, Any], Tensor] = "cross_entropy",
        metrics: Sequence[Any] | str | Metric = (),
        callbacks: Sequence[Callback] | Callback = (),
        schedule: Any = None,
        seed: int = 0,
    ) -> None:
        need_module(model)
        whole("Trainer", least=0, seed=seed)
        self.model, self.optimizer = model, optim.get(optimizer)
        self.loss = losses.get(loss)
        need_logits(model, self.loss)
        self.metrics: list[Metric] = [get_metric(m) for m in several("metrics", metrics, (str, Metric))]
        self.callbacks = need_callbacks(several("callbacks", callbacks, Callback))
        if not any(isinstance(c, FiniteGuard) for c in self.callbacks):
            self.callbacks.insert(0, FiniteGuard())
        self.schedule, self.seed = optim.schedule.get(schedule), int(seed)
        if not self.optimizer.bound:
            self.optimizer.bind(model)
        need_all_bound(self.model, self.optimizer)
        self._meter = Meter(self.metrics)
        self._captured = recorded(pauses=False)
        self.history = History()
        self.epoch = self.step = 0
        self.stop, self.validate_every = False, 1
        self.columns: list[str] = []
        self._base_lr = self.optimizer.lr
        self._batch = 0  # batches done in the epoch that is under way
        self._running: Batches | None = None  # what it trains on
        self._decided = False  # was the last stop a decision, which a resumed run keeps to?
        self._run: dict[str, Any] = {}  # the settings of the fit under way: a resumed one must have the same
        self._settings: dict[str, Any] | None = None  # the trainer's own, as they were when it began
        self._data: tuple[Dataset, Dataset | None] | None = None  # what it trains on, for the fingerprints

    @property
    def why_eager(self) -> str | None:
        """Why the last step was not a replay of a recorded one (see `xpnn.capture`); None when it was."""
        return self._captured.why_not

    # Training -----------------------------------------------------------------------------------------------------

    @takes_dataset
    def fit(
        self,
        train: Dataset,
        epochs: int,
        batch_size: int = 64,
        validation: Dataset | None = None,
        *,
        validate_every: int = 1,
        shuffle: bool = True,
        jitter: int = 0,
        progress: bool = True,
        resume: AnyPath | None = None,
    ) -> History:
        """Train for `epochs` more epochs and give the history: the numbers among loss and metrics, an epoch a row.

        batch_size      1 is stochastic, len(train) full-batch gradient descent
        validate_every  evaluate on `validation` after every so many epochs, and after the last
        shuffle         another order every epoch, from the trainer's seed
        jitter          shift training images at random by up to so many pixels; evaluation sees them as they are
        progress        show a progress bar
        resume          a checkpoint of an interrupted run of this very call: go on where it was, to the same end; on
                        the same backend the weights come out the same bit for bit. A run that a callback ended, such
                        as EarlyStopping, is not trained further

        Between epochs (`on_epoch_end`) the model may be moved with `model.to`. Raises ConfigError for settings out of
        range, DataError for targets that the loss does not mean, NumericError when the loss is not finite,
        CheckpointError when `resume` does not fit.
        """
        whole("fit", epochs=epochs, batch_size=batch_size, validate_every=validate_every)
        whole("fit", least=0, jitter=jitter)
        if validation is not None:
            need_dataset("fit: validation", validation)
            need_targets(validation, self.loss)
        need_targets(train, self.loss, self.metrics)
        need_all_bound(self.model, self.optimizer)
        self._captured = recorded(pauses=bool(overridden(self.callbacks, "on_loss")))
        batches = self._batches(train, batch_size, shuffle, jitter)
        run = {"samples": len(train), "batch_size": batches.batch_size, "shuffle": bool(shuffle), "jitter": int(jitter)}
        run |= {"epochs": int(epochs), "validate_every": int(validate_every)}
        fed = train.format
        self._settings, self._data = resuming.settings(self), (train, validation)
        if resume is not None:
            resuming.resume(self, resume, run, fed)
        else:
            self._run = {**run, "last": self.epoch + int(epochs)}
            self._batch, self._decided = 0, False
            self._meter.reset()
        self.model.input_format = fed
        self.validate_every, self.stop = validate_every, self._decided
        self.columns = columns_of(["loss", *(metric.name for metric in self.metrics)], validation is not None)
        for callback in self.callbacks:
            callback.on_fit_start(self)
        try:
            with Progress(self, len(batches), enabled=progress) as bar:
                while self.epoch < self._run["last"] and not self.stop:
                    if batches.backend is not self.model.backend:
                        self._captured.forget()
                        batches = self._batches(train, batch_size, shuffle, jitter)
                    self._fit_epoch(batches, validation, bar)
            for callback in self.callbacks:
                callback.on_fit_end(self)
        finally:  # both have the data set
            self._captured.forget()
            self._running = None
        self.model.eval()
        return self.history

    def _batches(self, train: Dataset, batch_size: int, shuffle: bool, jitter: int) -> Batches:
        return Batches(train, batch_size, self.model.backend, self._dtype, shuffle, self.seed, jitter)

    def _fit_epoch(self, batches: Batches, validation: Dataset | None, bar: Progress) -> None:
        on_loss = overridden(self.callbacks, "on_loss")
        on_step_end = overridden(self.callbacks, "on_step_end")
        on_settled = overridden(self.callbacks, "on_settled")
        keeping = any([type(c) is not FiniteGuard for c in (*on_loss, *on_step_end)])
        start, first = time.perf_counter(), self._batch
        self.model.train()
        if not first:
            begin_anew(self.model)
        bar.start(self.epoch + 1, first)
        batches.begin(self.epoch, first)
        self._running = batches
        for size in batches.sizes(first):
            lr = self._base_lr * self.schedule.factor(self.step, len(batches))
            if lr != self.optimizer.lr:
                self.optimizer.lr = lr
            given = batches, size, self.model, self.loss, self.optimizer, self._meter
            for loss, output, x, y in self._captured.steps(*given):  # noqa: B007 - used below
                loss = copied(loss) if keeping else loss  # a replay would overwrite it
                for callback in on_loss:
                    callback.on_loss(self, x, loss)
            self._meter.note(output, y, size)
            self.step += 1
            self._batch += 1
            for callback in on_step_end:
                callback.on_step_end(self, loss)
            for callback in on_settled:
                callback.on_settled(self, None)
            bar.advance(size)
            if self._batch < len(batches):
                if self.stop:
                    return
                if self.optimizer.arena.backend is not batches.backend:
                    raise BackendError("fit: the model was moved within an epoch. Move it in on_epoch_end")
        seconds = time.perf_counter() - start
        samples = min((self._batch - first) * batches.batch_size, len(batches.dataset))
        self._end_epoch(validation, seconds, samples, bar)

    @property
    def at_epoch_end(self) -> bool:
        """Was the last step that of an epoch?"""
        return self._running is not None and self._batch == len(self._running)

    def halt(self) -> tuple[int, float, Tensor, Tensor] | None:
        """The first step of the epoch whose loss was not finite, that loss, and its x and y; waits for the device."""
        found = self._meter.halt()
        if found is None or self._running is None:
            return None
        ago, loss = found
        self._running.turn_to(self._batch - ago)
        return self.step - ago, loss, *self._running.gather(next(self._running.sizes(self._batch - ago)))

    def _end_epoch(self, validation: Dataset | None, seconds: float, samples: int, bar: Progress) -> None:
        self.epoch, self._batch = self.epoch + 1, 0
        row: Row = {"epoch": self.epoch, **numbers(self._meter.value())}
        self._meter.reset()
        last = self.epoch == self._run["last"]
        if validation is not None and (last or self.epoch % self.validate_every == 0):
            row |= {f"val_{name}": value for name, value in numbers(self.evaluate(validation)).items()}
        row |= {"lr": self.optimizer.lr, "seconds": seconds, "samples_per_s": samples / seconds if seconds else 0.0}
        self.history.rows.append(row)
        if validation is None or "val_loss" in row:  # never a mix of both losses
            self.schedule.observe(row.get("val_loss", row["loss"]))
        deciding = overridden(self.callbacks, "on_epoch_end")
        interrupted, self.stop = self.stop, False
        for callback in deciding:
            callback.on_epoch_end(self, row)
        self._decided = self.stop
        self.stop = self.stop or interrupted
        for callback in overridden(self.callbacks, "on_settled"):
            callback.on_settled(self, row)
        bar.finish(row)

    # Stopping and going on ------------------------------------------------------------------------------------------

    def save(self, path: AnyPath) -> None:
        """Everything, in one file that appears whole or not at all; `fit(..., resume=path)` goes on from it."""
        resuming.save(self, path)

    def state(self) -> dict[str, Any]:
        """Where training is and its settings, as plain data: what a checkpoint keeps beside the arrays."""
        return resuming.state(self)

    def resume(self, path: AnyPath) -> None:
        """Take over a training that `save` wrote, all or nothing. CheckpointError when it is not of this trainer.

        The next `fit` begins an epoch; `fit(..., resume=path)` goes on within one.
        """
        self._settings = None
        resuming.resume(self, path)
