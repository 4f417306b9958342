"""The confusion matrix, and precision, recall and F1, which follow from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.core.contract import Backend
from xpnn.core.op import Array
from xpnn.errors import ConfigError, DataError, ShapeError
from xpnn.metrics.metric import Metric, predictions, read


class ConfusionMatrix(Metric):
    """How often label i was called j: value() is (C, C) int64. A sample with NaN is in no column.

    classes: C; by default that of the first outputs, 2 for binary ones. On a device one number a sample is kept until
    2^16 have come together, or the value is wanted. DataError when there were labels outside 0..C-1.
    """

    keeps = False

    name = "confusion_matrix"
    higher_is_better: bool | None = None
    _codes: list[tuple[Backend, Array]]
    _waiting: int
    _width: int
    _counts: np.ndarray | None

    def __init__(self, classes: int | None = None, threshold: float = 0.0) -> None:
        if classes is not None and classes < 2:
            raise ConfigError(f"{type(self).__name__}: expected classes >= 2; got {classes}")
        self.classes, self.threshold = classes, threshold
        self.reset()

    def update(self, output: Any, target: Any) -> None:
        batch = read(self.name, output, target)
        xp, C = batch.backend.xp, self._width or batch.classes
        if batch.classes != C:
            raise ShapeError(f"{self.name}: expected outputs of {C} classes; got {batch.classes}")
        self._width = C
        with batch.backend.here():
            predicted, valid = predictions(batch, self.threshold)
            labels = xp.astype(batch.labels, xp.int64)
            codes = labels * (C + 1) + xp.where(valid, predicted, C)
            self._codes.append((batch.backend, xp.where((labels >= 0) & (labels < C), codes, -1)))
        self._waiting += len(labels)
        if self._waiting >= 1 << 16:
            self._tally()

    def _tally(self) -> None:
        C = self._width
        codes = np.concatenate([backend.to_host(c) for backend, c in self._codes])
        self._codes, self._waiting = [], 0
        if np.any(codes < 0):
            raise DataError(f"{self.name}: expected labels from 0 to {C - 1}; got {np.sum(codes < 0)} others")
        counts = np.bincount(codes, minlength=C * (C + 1)).reshape(C, C + 1)
        self._counts = counts if self._counts is None else self._counts + counts

    @property
    def counts(self) -> np.ndarray:
        """The matrix with one column more: (C, C + 1), the last for samples with NaN among their outputs."""
        if self._codes:
            self._tally()
        return np.zeros((self._width, self._width + 1), np.int64) if self._counts is None else self._counts

    def value(self) -> Any:
        return self.counts[:, :-1].copy()

    def reset(self) -> None:
        self._codes, self._waiting = [], 0
        self._width, self._counts = self.classes or 0, None

    def state(self) -> dict[str, Any]:
        return {"counts": self.counts.tolist()}

    def load_state(self, state: dict[str, Any]) -> None:
        C = len(state["counts"])
        if self.classes not in (None, C):
            raise ConfigError(f"{self.name}: expected the state of {self.classes} classes; got {C}")
        self.reset()
        self._width, self._counts = C, np.array(state["counts"], np.int64).reshape(C, C + 1)


class _Rate(ConfusionMatrix):
    """A quotient for each class, and their average.

    average  "macro": the plain mean over the classes that occur, as labels or as predictions; "weighted": the mean by
             the number of labels; "micro": one quotient of sums; "binary": class 1 of two; None: all, (C,)

    0 / 0 is 0. A sample with NaN counts as a label, but as a prediction of no class.
    """

    name = ""
    higher_is_better: bool | None = True

    def __init__(self, average: str | None = "macro", classes: int | None = None, threshold: float = 0.0) -> None:
        if average not in ("macro", "micro", "weighted", "binary", None):
            expected = "average macro, micro, weighted, binary or None"
            raise ConfigError(f"{type(self).__name__}: expected {expected}; got {average!r}")
        super().__init__(classes, threshold)
        self.average = average
        if average is None:
            self.higher_is_better = None  # of many values none is the best
        if average != "macro":
            self.name = f"{type(self).name}_{average or 'by_class'}"

    def quotient(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        """Above and below the line, from the counts of right predictions, predictions and labels of a class."""
        raise NotImplementedError

    def value(self) -> Any:
        counts = self.counts
        hits, predicted, actual = np.diagonal(counts), counts[:, :-1].sum(0), counts.sum(1)
        if not counts.sum():
            return math.nan if self.average else np.full(len(counts), np.nan)
        if self.average == "micro":
            hits, predicted, actual = (n.sum(keepdims=True) for n in (hits, predicted, actual))
        above, below = self.quotient(hits, predicted, actual)
        rates = above / np.maximum(below, 1)
        if self.average is None:
            return rates
        if self.average == "binary":
            if len(rates) != 2:
                raise ShapeError(f"{self.name}: expected outputs of two classes; got {len(rates)}")
            return float(rates[1])
        weights = actual if self.average == "weighted" else (predicted + actual > 0)
        return float((rates * weights).sum() / weights.sum())


class Precision(_Rate):
    """Of the samples called i, the share that is i."""

    name = "precision"

    def quotient(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return hits, predicted


class Recall(_Rate):
    """Of the samples that are i, the share called i."""

    name = "recall"

    def quotient(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return hits, actual


class F1(_Rate):
    """The harmonic mean of precision and recall: 2 hits / (predictions + labels). van Rijsbergen (1979), chapter 7."""

    name = "f1"

    def quotient(self, hits: Any, predicted: Any, actual: Any) -> tuple[Any, Any]:
        return 2 * hits, predicted + actual
