"""The running loss and metrics of an epoch, kept where the numbers are: nothing is read until someone asks."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

from xpnn import metrics
from xpnn.core.plan import copied
from xpnn.core.tensor import Tensor
from xpnn.core.transfers import number


class Meter:
    """The mean loss over the samples seen, and metrics of its own, fresh copies of those given."""

    def __init__(self, wanted: Sequence[Any]) -> None:
        self.metrics = [copy.deepcopy(metrics.get(m)) for m in wanted]
        self.reset()

    def reset(self) -> None:
        self._total: Any = 0.0  # a number at first, then a 0-d array where the loss is
        self._samples = 0
        for metric in self.metrics:
            metric.reset()

    def update(self, loss: Tensor, output: Tensor, target: Tensor, samples: int) -> None:
        """Add a batch: its mean loss, and what the metrics make of its outputs."""
        place, xp = loss.backend, loss.backend.xp
        if place.on_host:
            self._total = self._total + float(loss.data) * samples
        else:
            with place.here():
                self._total = self._total + xp.astype(loss.data, xp.float64) * samples
        self._samples += samples
        for metric in self.metrics:
            metric.update(copied(output) if metric.keeps else output, target)

    def loss(self) -> float:
        """The mean so far; waits for the device."""
        return float(number(self._total)) / self._samples if self._samples else 0.0

    def value(self) -> dict[str, float]:
        return {"loss": self.loss(), **{metric.name: metric.value() for metric in self.metrics}}

    def state(self) -> dict[str, Any]:
        return {
            "total": float(number(self._total)),
            "samples": self._samples,
            "metrics": [metric.state() for metric in self.metrics],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self._total, self._samples = float(state["total"]), int(state["samples"])
        for metric, entry in zip(self.metrics, state["metrics"], strict=True):
            metric.load_state(entry)
