"""The running loss and metrics of an epoch, kept where the numbers are: nothing is read until someone asks."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn import metrics
from xpnn.core.contract import Backend
from xpnn.core.plan import copied
from xpnn.core.tally import TALLY
from xpnn.core.tape import update
from xpnn.core.tensor import Tensor
from xpnn.metrics.sums import Sums


class Meter:
    """The mean loss over the samples seen, and metrics of its own, fresh copies of those given.

    A batch is taken in by `count`, by ops alone, which may be a part of a recorded step; then by `note`, on the host.
    """

    def __init__(self, wanted: Sequence[Any]) -> None:
        self.metrics = [copy.deepcopy(metrics.get(m)) for m in wanted]
        self._sums, self._halted = Sums((3,), np.float64), Sums((), np.int64)  # see TALLY
        self.reset()

    def reset(self) -> None:
        self._sums.write(0)
        self._halted.write(0)
        self._samples = self._batches = 0
        for metric in self.metrics:
            metric.reset()

    def count(self, loss: Tensor, output: Tensor, target: Tensor, samples: int) -> None:
        """Add a batch: its mean loss, and what the metrics make of its outputs that do it by ops."""
        place = loss.backend
        update(TALLY, self._sums.on(place), self._halted.on(place), loss, samples=samples)
        for metric in self.metrics:
            if metric.by_ops(output, target):
                metric.update(output, target)

    def note(self, output: Tensor, target: Tensor, samples: int) -> None:
        """The rest, of the same batch: the number of its samples, and all other metrics."""
        self._samples += samples
        self._batches += 1
        for metric in self.metrics:
            if not metric.by_ops(output, target):
                metric.update(copied(output) if metric.keeps else output, target)

    def halted(self, backend: Backend) -> Tensor:
        """A whole number there: not 0 once there was a loss that is not finite."""
        return self._halted.on(backend)

    def halt(self) -> tuple[int, float] | None:
        """Was there such a loss since `reset`, so many batches ago? (1 is the last one.) Waits for the device."""
        step = int(self._halted.read())
        return (self._batches - step + 1, float(self._sums.read()[1])) if step else None

    def loss(self) -> float:
        """The mean so far; waits for the device."""
        return float(self._sums.read()[0]) / self._samples if self._samples else 0.0

    def value(self) -> dict[str, float]:
        return {"loss": self.loss(), **{metric.name: metric.value() for metric in self.metrics}}

    def state(self) -> dict[str, Any]:
        return {
            "total": float(self._sums.read()[0]),
            "samples": self._samples,
            "metrics": [metric.state() for metric in self.metrics],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.reset()
        total = float(state["total"])
        self._sums.write([total, total, 0])
        self._halted.write(0 if math.isfinite(total) else 1)
        self._samples = int(state["samples"])
        for metric, entry in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state(entry)
