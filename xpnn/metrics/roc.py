"""The area under the ROC curve."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from xpnn.core import backend as backends
from xpnn.errors import DataError, ShapeError
from xpnn.metrics.metric import Batch, Metric, read


class RocAuc(Metric):
    """The probability that a sample of a class scores higher there than one of another class; ties count half.

    Exact, by ranks: AUC = (R - P (P + 1) / 2) / (P Q), with R the sum of the P positives' ranks among P + Q scores;
    equal scores share their mean rank. Mann and Whitney, Ann. Math. Stat. 18 (1947); Hanley and McNeil, Radiology 143
    (1982). Binary outputs: the AUC of class 1. C columns: the mean over the classes, each against the rest, that have
    samples on both sides. NaN when there is none, and when any output is NaN.

    logits: columns go through log-softmax first, as the ranks of raw logits depend on what they share across a row;
    False for outputs that are probabilities. Keeps every output and label: C + 2 numbers a sample.
    """

    keeps = False

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
