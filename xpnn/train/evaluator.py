"""What a model is worth: loss and metrics over a data set, and its outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import isfinite
from typing import Any

import numpy as np

from xpnn.core.tape import no_grad
from xpnn.core.tensor import Tensor, tensor
from xpnn.data.batches import Batches
from xpnn.data.dataset import Dataset
from xpnn.errors import ShapeError
from xpnn.metrics import Metric
from xpnn.nn import Embedding, Module
from xpnn.train.checks import takes_dataset, whole
from xpnn.train.meter import Meter
from xpnn.train.targets import need_outputs, need_targets


class Evaluator:
    """The half of a Trainer that changes nothing."""

    model: Module
    loss: Callable[[Tensor, Any], Tensor]
    metrics: list[Metric]
    _evaluated: tuple[Any, Batches] | None = None

    @property
    def _dtype(self) -> np.dtype:
        return next(self.model.parameters()).dtype

    @takes_dataset
    def evaluate(self, data: Dataset, batch_size: int = 256) -> dict[str, Any]:
        """Loss and metrics over a data set, without dropout and without a graph: {"loss": ..., "accuracy": ...}.

        Metrics that are arrays, such as the confusion matrix, are here too; a history has the numbers only. On a device
        the set is kept for the next time: one whose arrays are changed in place must be given as a new Dataset there.
        DataError for targets that the loss does not mean, and for labels without an output.
        """
        whole("evaluate", batch_size=batch_size)
        need_targets(data, self.loss)
        meter = Meter(self.metrics)
        with self._evaluating():
            for x, y in self._evaluation_batches(data, batch_size).epoch():
                output = self.model(x)
                meter.count(self.loss(output, y), output, y, len(x))
                meter.note(output, y, len(x))
        found = meter.value()
        if not isfinite(found["loss"]):
            need_outputs(data, output.shape[-1])
        return found

    def predict(self, x: Any, batch_size: int = 256) -> np.ndarray:
        """The model's outputs (N, ...) for a Dataset, scaled as it says, or for an array as it is; on the host.

        An array is fed in the model's dtype; one of whole numbers, to a model with an Embedding, as its ids.
        """
        whole("predict", batch_size=batch_size)
        with self._evaluating():
            if isinstance(x, Dataset):  # the next batch overwrites this one, and perhaps what is a view of it
                parts = [self.model(b).numpy().copy() for b, _ in self._evaluation_batches(x, batch_size).epoch()]
            else:
                rows = self._rows(x)
                if not rows.shape or not len(rows):
                    raise ShapeError(f"predict: expected at least one sample (N, ...); got {rows.shape}")
                parts = [self.model(rows[i : i + batch_size]).numpy() for i in range(0, len(rows), batch_size)]
        return np.concatenate(parts)

    def _rows(self, x: Any) -> Tensor:
        if not any(isinstance(module, Embedding) for _, module in self.model.named_modules()):
            return tensor(x, self._dtype, self.model.backend)
        rows = tensor(x, backend=self.model.backend)
        return rows.astype(self._dtype) if rows.dtype.kind == "f" else rows

    def _evaluation_batches(self, data: Dataset, batch_size: int) -> Batches:
        """On a device those of the last time where they fit: a validation set goes there once, not every epoch."""
        backend = self.model.backend
        wanted = (data, min(batch_size, len(data)), backend)
        if self._evaluated is None or wanted != self._evaluated[0] or backend.on_host:
            self._evaluated = wanted, Batches(data, batch_size, backend, self._dtype)
        return self._evaluated[1]

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        """Inside, the model evaluates and nothing is recorded; then every module has its own mode again."""
        modes = [(module, module.training) for _, module in self.model.named_modules()]
        self.model.eval()
        try:
            with no_grad():
                yield
        finally:
            for module, training in modes:
                module.training = training
