"""Accuracy and top-k: shares of samples that are right."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.core.hits import HITS
from xpnn.core.tape import update
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.metrics.metric import Metric, in_rows, rows
from xpnn.metrics.sums import Sums


class TopK(Metric):
    """The share of samples whose label is among the k largest outputs; there must be k classes at least."""

    keeps = False
    threshold = 0.0

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ConfigError(f"TopK: expected k >= 1; got {k}")
        self.k, self.name = k, f"top{k}"
        self._counts = Sums((2,), np.int64)  # those that are right, and all

    def by_ops(self, output: Tensor, target: Tensor) -> bool:
        return in_rows(output, target)

    def update(self, output: Any, target: Any) -> None:
        scores, labels = rows(self.name, output, target, self.threshold)
        if self.k > 1 and (np.ndim(output) == 1 or np.shape(output)[-1] < self.k):
            raise ShapeError(f"{self.name}: expected outputs (N, C) with C >= {self.k}; got {np.shape(output)}")
        update(HITS, self._counts.on(scores.backend), scores, labels, k=self.k)

    def value(self) -> float:
        hits, seen = self._counts.read().tolist()
        return hits / seen if seen else math.nan

    def reset(self) -> None:
        self._counts.write(0)

    def state(self) -> dict[str, Any]:
        hits, seen = self._counts.read().tolist()
        return {"hits": hits, "seen": seen}

    def load_state(self, state: dict[str, Any]) -> None:
        self._counts.write([int(state["hits"]), int(state["seen"])])


class Accuracy(TopK):
    """The share of samples whose class is the label."""

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__(1)
        self.threshold, self.name = threshold, "accuracy"
