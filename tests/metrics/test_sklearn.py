"""Metrics are those of scikit-learn, where it is installed."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import metrics

from .conftest import after, logits

CASES = [(n, classes, seed) for n, classes in ((60, 2), (200, 5), (30, 12)) for seed in range(3)]


@pytest.mark.peers
@pytest.mark.parametrize(("n", "classes", "seed"), CASES)
@pytest.mark.parametrize("average", ["macro", "micro", "weighted", None])
def test_quotients_are_those_of_scikit_learn(n, classes, seed, average):
    theirs = pytest.importorskip("sklearn.metrics")
    y, labels = logits(n, classes, seed)
    predicted = y.argmax(1)
    every = {"labels": range(classes)} if average is None else {}
    pairs = [(metrics.Precision, "precision_score"), (metrics.Recall, "recall_score"), (metrics.F1, "f1_score")]
    for make, name in pairs:
        expected = getattr(theirs, name)(labels, predicted, average=average, zero_division=0, **every)
        np.testing.assert_allclose(after(make(average), (y, labels)), expected, rtol=1e-12)
    expected = theirs.confusion_matrix(labels, predicted, labels=range(classes))
    np.testing.assert_array_equal(after("confusion_matrix", (y, labels)), expected)
    assert after("accuracy", (y, labels)) == theirs.accuracy_score(labels, predicted)


@pytest.mark.peers
@pytest.mark.parametrize("seed", range(3))
def test_binary_quotients_are_those_of_scikit_learn(seed):
    theirs = pytest.importorskip("sklearn.metrics")
    y, labels = logits(50, 2, seed)
    score = y[:, 1]
    assert after(metrics.F1("binary"), (score, labels)) == pytest.approx(theirs.f1_score(labels, score > 0))


@pytest.mark.peers
@pytest.mark.parametrize("coarse", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_auc_is_that_of_scikit_learn(seed, coarse):
    theirs = pytest.importorskip("sklearn.metrics")
    y, labels = logits(100, 5, seed, coarse)
    binary = labels > 2
    assert after("roc_auc", (y[:, 0], binary)) == pytest.approx(theirs.roc_auc_score(binary, y[:, 0]))
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    expected = theirs.roc_auc_score(labels, p, multi_class="ovr", average="macro")
    assert after(metrics.RocAuc(logits=False), (p, labels)) == pytest.approx(expected)


@pytest.mark.peers
@pytest.mark.parametrize("k", [1, 2, 4])
def test_top_k_is_that_of_scikit_learn(k):
    theirs = pytest.importorskip("sklearn.metrics")
    y, labels = logits(100, 5)
    expected = theirs.top_k_accuracy_score(labels, y, k=k, labels=range(5))
    assert after(metrics.TopK(k), (y, labels)) == pytest.approx(expected)
