"""Metrics: how good outputs are, gathered batch by batch.

    metric = metrics.get("accuracy")
    for x, y in batches:
        metric.update(model(x), y)          # Tensors or arrays of one backend; nothing is waited for
    metric.value()

Outputs are (..., C), a number for each class, logits or probabilities alike, with targets (...) of integer labels or
(..., C) one-hot or soft (the largest counts). Or they are binary: (N,) or (N, 1), with targets 0 and 1 (or -1 and 1) of
as many elements; an output above `threshold` means class 1: 0, the default, is for logits, 0.5 for probabilities.

A sample with NaN among its outputs is wrong, whatever its label. Of equal outputs the first counts, as for argmax.
Before the first sample `value()` is NaN.

>>> import numpy as np
>>> metric = get("accuracy")
>>> metric.update(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 0, 0]))
>>> round(metric.value(), 4)
0.6667
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from difflib import get_close_matches
from typing import Any, NamedTuple

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.backend import Backend
from xpnn.core.op import Array, Namespace
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import BackendError, ConfigError, DataError, DTypeError, ShapeError


class Metric:
    """The base of all: write the five methods.

    name              how it is called in a history
    higher_is_better  None where values have no order
    """

    name: str
    higher_is_better: bool | None = True

    def update(self, output: Any, target: Any) -> None:
        """Take in a batch. ShapeError or DTypeError when outputs and targets do not fit."""
        raise NotImplementedError

    def value(self) -> Any:
        """The metric over everything since `reset`; waits for the device."""
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What was gathered, as numbers and lists."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        raise NotImplementedError


# Reading a batch ----------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """A batch in one form: scores (N, C) or binary (N,), labels (N,) whole numbers or bool."""

    backend: Backend
    scores: Array
    labels: Array

    @property
    def classes(self) -> int:
        return self.scores.shape[1] if self.scores.ndim == 2 else 2


def read(name: str, output: Any, target: Any) -> Batch:
    """Outputs and targets as a Batch; the errors that `update` raises."""
    if not isinstance(output, Tensor):
        output = as_tensor(output, target) if isinstance(target, Tensor) else tensor(output)
    if not isinstance(target, Tensor):
        target = as_tensor(target, output)
    if target.backend is not output.backend:
        device = output.backend.device
        raise BackendError(
            f"{name}: expected one backend; got outputs on {device} and targets on {target.backend.device}. "
            f"Move one: target.to('{device}')"
        )
    y, t = output.data, target.data
    if y.ndim == 2 and t.ndim == 1 and y.shape[1] > 1 and t.dtype.kind in "iub" and len(t) == len(y):
        return Batch(output.backend, y, t)  # the usual case, first
    with output.backend.here():
        return Batch(output.backend, *_unusual(name, output.backend.xp, y, t))


def _unusual(name: str, xp: Namespace, y: Array, t: Array) -> tuple[Array, Array]:
    binary = y.ndim == 1 or (y.ndim > 1 and y.shape[-1] == 1)
    if binary and t.shape in (y.shape, y.shape[:-1], (*y.shape, 1)) and t.size == y.size:
        return xp.reshape(y, (-1,)), xp.reshape(t, (-1,)) > 0.5
    if not binary and y.ndim and y.shape[-1]:
        if t.shape == y.shape:
            return xp.reshape(y, (-1, y.shape[-1])), xp.reshape(xp.argmax(t, axis=-1), (-1,))
        if t.shape == y.shape[:-1]:
            if t.dtype.kind not in "iub":
                raise DTypeError(f"{name}: expected whole numbers as labels {t.shape}; got {t.dtype}")
            return xp.reshape(y, (-1, y.shape[-1])), xp.reshape(t, (-1,))
    raise ShapeError(
        f"{name}: expected outputs (..., C) with labels (...) or targets (..., C), or binary ones (N,); "
        f"got {y.shape} with {t.shape}"
    )


def _predictions(batch: Batch, threshold: float) -> tuple[Array, Array]:
    """The class (N,) of each sample, and whether (N,) its scores are free of NaN."""
    xp, y = batch.backend.xp, batch.scores
    if y.ndim == 1:
        return y > threshold, y == y
    predicted = xp.argmax(y, axis=-1)  # where there is a NaN, the first of them
    best = xp.reshape(y, (-1,))[xp.arange(0, y.size, y.shape[1]) + predicted]
    return predicted, best == best


# Accuracy -----------------------------------------------------------------------------------------------------------


class _Share(Metric):
    """hits / samples. The hits are counted where the outputs are, and nobody waits for them before `value`."""

    _hits: Any  # a number, or a 0-d array on a device
    _seen: int

    def __init__(self) -> None:
        self.reset()

    def hits(self, batch: Batch) -> Array:
        """Is a sample (N,) right?"""
        raise NotImplementedError

    def update(self, output: Any, target: Any) -> None:
        batch = read(self.name, output, target)
        with batch.backend.here():
            self._hits = self._hits + batch.backend.xp.count_nonzero(self.hits(batch))
        self._seen += len(batch.labels)

    def value(self) -> float:
        return int(self._hits) / self._seen if self._seen else math.nan

    def reset(self) -> None:
        self._hits = self._seen = 0

    def state(self) -> dict[str, Any]:
        return {"hits": int(self._hits), "seen": self._seen}

    def load_state(self, state: dict[str, Any]) -> None:
        self._hits, self._seen = int(state["hits"]), int(state["seen"])


class Accuracy(_Share):
    """The share of samples whose class is the label."""

    name = "accuracy"

    def __init__(self, threshold: float = 0.0) -> None:
        super().__init__()
        self.threshold = threshold

    def hits(self, batch: Batch) -> Array:
        predicted, valid = _predictions(batch, self.threshold)
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


# The confusion matrix and what follows from it ------------------------------------------------------------------------


class ConfusionMatrix(Metric):
    """How often label i was called j: value() is (C, C) int64. A sample with NaN is in no column.

    classes: C; by default that of the first outputs, 2 for binary ones. On a device one number a sample is kept until
    2^16 have come together, or the value is wanted. DataError when there were labels outside 0..C-1.
    """

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
            predicted, valid = _predictions(batch, self.threshold)
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
    higher_is_better = True

    def __init__(self, average: str | None = "macro", classes: int | None = None, threshold: float = 0.0) -> None:
        if average not in ("macro", "micro", "weighted", "binary", None):
            expected = "average macro, micro, weighted, binary or None"
            raise ConfigError(f"{type(self).__name__}: expected {expected}; got {average!r}")
        super().__init__(classes, threshold)
        self.average = average
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


# The area under the ROC curve -----------------------------------------------------------------------------------------


class RocAuc(Metric):
    """The probability that a sample of a class scores higher there than one of another class; ties count half.

    Exact, by ranks: AUC = (R - P (P + 1) / 2) / (P Q), with R the sum of the P positives' ranks among P + Q scores;
    equal scores share their mean rank. Mann and Whitney, Ann. Math. Stat. 18 (1947); Hanley and McNeil, Radiology 143
    (1982). Binary outputs: the AUC of class 1. C columns: the mean over the classes, each against the rest, that have
    samples on both sides. NaN when there is none, and when any output is NaN.

    logits: columns go through log-softmax first, as the ranks of raw logits depend on what they share across a row;
    False for outputs that are probabilities. Keeps every output and label: C + 2 numbers a sample.
    """

    name = "roc_auc"

    def __init__(self, logits: bool = True) -> None:
        self.logits = logits
        self.reset()

    def update(self, output: Any, target: Any) -> None:
        batch = read(self.name, output, target)
        if self._held and self._held[0].scores.shape[1:] != batch.scores.shape[1:]:
            raise ShapeError(f"{self.name}: expected outputs of {self._held[0].classes} classes; got {batch.classes}")
        xp = batch.backend.xp
        with batch.backend.here():  # copies: the next batch may come in the same memory
            scores, labels = xp.asarray(batch.scores, copy=True), xp.astype(batch.labels, xp.int64, copy=True)
        self._held.append(Batch(batch.backend, scores, labels))

    def _gathered(self) -> tuple[np.ndarray, np.ndarray]:
        scores = np.concatenate([b.backend.to_host(b.scores) for b in self._held]).astype(np.float64)
        labels = np.concatenate([b.backend.to_host(b.labels) for b in self._held])
        return scores, labels

    def value(self) -> float:
        if not self._held:
            return math.nan
        scores, labels = self._gathered()
        classes = self._held[0].classes
        if np.any((labels < 0) | (labels >= classes)):
            raise DataError(f"{self.name}: expected labels from 0 to {classes - 1}; got others")
        if scores.ndim == 2 and self.logits:
            with np.errstate(invalid="ignore"):  # infinity becomes NaN
                scores = scores - scores.max(1, keepdims=True)
                scores = scores - np.log(np.exp(scores).sum(1, keepdims=True))
        if np.isnan(scores).any():
            return math.nan
        if scores.ndim == 1:
            return auc(scores, labels == 1)
        areas = [auc(scores[:, c], labels == c) for c in range(classes)]
        defined = [a for a in areas if not math.isnan(a)]
        return sum(defined) / len(defined) if defined else math.nan

    def reset(self) -> None:
        self._held: list[Batch] = []

    def state(self) -> dict[str, Any]:
        if not self._held:
            return {"scores": [], "labels": []}
        scores, labels = self._gathered()
        return {"scores": scores.tolist(), "labels": labels.tolist()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.reset()
        if state["labels"]:
            scores, labels = np.array(state["scores"]), np.array(state["labels"], np.int64)
            self._held.append(Batch(backends.get("numpy"), scores, labels))


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """The area under the ROC curve of scores (N,), for positive (N,) bool; NaN when one side is empty."""
    P = int(positive.sum())
    Q = positive.size - P
    if not P or not Q:
        return math.nan
    _, place, repeats = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = np.cumsum(repeats) - (repeats - 1) / 2  # counted from 1, the mean of equal ones
    return float((ranks[place][positive].sum() - P * (P + 1) / 2) / (P * Q))


# By name --------------------------------------------------------------------------------------------------------------

METRICS: dict[str, Callable[..., Metric]] = {
    "accuracy": Accuracy,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "confusion_matrix": ConfusionMatrix,
    "roc_auc": RocAuc,
}
"""Every metric by the name that `get` takes, beside "top1", "top2", ..."""


def get(metric: str | Metric) -> Metric:
    """A new metric of this name; a metric is given back as it is. ConfigError for an unknown name.

    >>> get("top5").name
    'top5'
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        top = re.fullmatch(r"top([1-9]\d{0,8})", metric)
        if top:
            return TopK(int(top[1]))
        if metric in METRICS:
            return METRICS[metric]()
    near = get_close_matches(str(metric), [*METRICS, "top5"], 1)
    hint = f". Did you mean {near[0]!r}?" if near else ""
    raise ConfigError(
        f"metric {metric!r} is unknown; expected a Metric or one of {', '.join(METRICS)}, top1, top2, ...{hint}"
    )
