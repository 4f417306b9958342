"""Accuracy and top-k: shares of samples that are right."""

from __future__ import annotations

import math
from typing import Any

from xpnn.core.hits import HITS
from xpnn.core.op import Array
from xpnn.core.transfers import number
from xpnn.errors import ConfigError, ShapeError
from xpnn.metrics.metric import Batch, Metric, predictions, read


class _Share(Metric):
    """hits / samples. The hits are counted where the outputs are, and nobody waits for them before `value`."""

    keeps = False

    _hits: Any  # a number, or a 0-d array on a device
    _seen: int

    def __init__(self) -> None:
        self.reset()

    def hits(self, batch: Batch) -> Array:
        """Is a sample (N,) right?"""
        raise NotImplementedError

    def count(self, batch: Batch) -> Any:
        """How many are right?"""
        with batch.backend.here():
            return batch.backend.xp.count_nonzero(self.hits(batch))

    def update(self, output: Any, target: Any) -> None:
        batch = read(self.name, output, target)
        self._hits = self._hits + self.count(batch)
        self._seen += len(batch.labels)

    def value(self) -> float:
        return int(number(self._hits)) / self._seen if self._seen else math.nan

    def reset(self) -> None:
        self._hits = self._seen = 0

    def state(self) -> dict[str, Any]:
        return {"hits": int(number(self._hits)), "seen": self._seen}

    def load_state(self, state: dict[str, Any]) -> None:
        self._hits, self._seen = int(state["hits"]), int(state["seen"])


class Accuracy(_Share):
    """The share of samples whose class is the label."""

    name = "accuracy"

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def count(self, batch: Batch) -> Any:
        if batch.scores.ndim == 2 and batch.labels.dtype.kind in "iu":  # the usual case, as one op
            ((hits,), _) = batch.backend.forward(HITS, (batch.scores, batch.labels), {})
            return int(hits) if batch.backend.on_host else hits
        return super().count(batch)

    def hits(self, batch: Batch) -> Array:
        predicted, valid = predictions(batch, self.threshold)
        return (predicted == batch.labels) & valid


class TopK(_Share):
    """The share of samples whose label is among the k largest outputs; there must be k classes at least."""

    def __init__(self, k: int = 5) -> None:
        if k < 1:
            raise ConfigError(f"TopK: expected k >= 1; got {k}")
        super().__init__()
        self.k, self.name = k, f"top{k}"

    def hits(self, batch: Batch) -> Array:
        xp, y = batch.backend.xp, batch.scores
        if y.ndim == 1 or y.shape[1] < self.k:
            raise ShapeError(f"{self.name}: expected outputs (N, C) with C >= {self.k}; got {y.shape}")
        classes = xp.arange(y.shape[1])[None, :]
        labels = xp.astype(batch.labels, xp.int64)[:, None]
        asked = xp.max(xp.where(classes == labels, y, -xp.inf), axis=1, keepdims=True)
        # Those before it: larger, or equal with a lower number.
        ahead = xp.count_nonzero((y > asked) | ((y == asked) & (classes < labels)), axis=1)
        known = (labels >= 0) & (labels < y.shape[1])
        return (ahead < self.k) & known[:, 0] & ~xp.any(y != y, axis=1)
