"""The confusion matrix, and precision, recall and F1, which follow from it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.core.confusion import CONFUSION
from xpnn.core.tape import update
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError, DataError, ShapeError
from xpnn.metrics.metric import Metric, in_rows, rows
from xpnn.metrics.sums import Sums


class ConfusionMatrix(Metric):
    """How often label i was called j: value() is (C, C) int64. A sample with NaN is in no column.

    classes: C; by default that of the first outputs, 2 for binary ones. DataError when there were labels outside
    0..C-1.
    """

    keeps = False

    name = "confusion_matrix"
    higher_is_better: bool | None = None
    _sums: Sums | None

    def __init__(self, classes: int | None = None, threshold: float = 0.0) -> None:
        if classes is not None and classes < 2:
            raise ConfigError(f"{type(self).__name__}: expected classes >= 2; got {classes}")
        self.classes, self.threshold = classes, threshold
        self._sums = self._zeros(classes) if classes else None

    @staticmethod
    def _zeros(C: int) -> Sums:
        return Sums((C + 1, C + 1), np.int64)  # one row more for what is no class, one column for NaN

    def by_ops(self, output: Tensor, target: Tensor) -> bool:
        return in_rows(output, target)

    def update(self, output: Any, target: Any) -> None:
        scores, labels = rows(self.name, output, target, self.threshold)
        C = scores.shape[1]
        if self._sums is None or (self._width != C and not self.classes and not self._sums.read().any()):
            self._sums = self._zeros(C)
        if self._width != C:
            raise ShapeError(f"{self.name}: expected outputs of {self._width} classes; got {C}")
        update(CONFUSION, self._sums.on(scores.backend), scores, labels)

    @property
    def _width(self) -> int:
        return 0 if self._sums is None else self._sums.shape[0] - 1

    @property
    def counts(self) -> np.ndarray:
        """The matrix with one column more: (C, C + 1), the last for samples with NaN among their outputs."""
        if self._sums is None:
            return np.zeros((0, 1), np.int64)
        counts = self._sums.read()
        if counts[-1].any():
            raise DataError(f"{self.name}: expected labels from 0 to {self._width - 1}; got {counts[-1].sum()} others")
        return counts[:-1]

    def value(self) -> Any:
        return self.counts[:, :-1].copy()

    def reset(self) -> None:
        if self._sums is not None:
            self._sums.write(0)

    def state(self) -> dict[str, Any]:
        return {"counts": self.counts.tolist()}

    def load_state(self, state: dict[str, Any]) -> None:
        C = len(state["counts"])
        if self.classes not in (None, C):
            raise ConfigError(f"{self.name}: expected the state of {self.classes} classes; got {C}")
        self._sums = self._zeros(C)
        self._sums.write([*state["counts"], [0] * (C + 1)]) if C else None


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
