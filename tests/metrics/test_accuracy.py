"""Accuracy and top-k: by hand, against a sort, with ties and NaN."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnn import metrics

from .conftest import after, logits


def test_accuracy_by_hand():
    y = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [2.0, -1.0]])
    assert after("accuracy", (y, np.array([1, 0, 0, 0]))) == 0.75
    assert after("accuracy", (y[:2], np.array([1, 0])), (y[2:], np.array([0, 1]))) == 0.5


@pytest.mark.parametrize("bad", [0, 1, 2])
@pytest.mark.parametrize("label", [0, 1, 2])
def test_a_sample_with_nan_is_wrong(bad, label):
    y = np.array([[0.0, 1.0, 2.0]])
    y[0, bad] = np.nan
    for name in ("accuracy", "top2", "top3", "recall"):
        assert after(name, (y, np.array([label]))) == 0.0
    matrix = metrics.ConfusionMatrix()
    matrix.update(y, np.array([label]))
    assert matrix.value().sum() == 0
    assert matrix.counts[label].tolist() == [0, 0, 0, 1]
    assert math.isnan(after("roc_auc", (y, np.array([label])), (np.eye(3), np.arange(3))))


@pytest.mark.parametrize("label", [0, 1])
def test_a_binary_sample_with_nan_is_wrong(label):
    assert after("accuracy", (np.array([np.nan]), np.array([label]))) == 0.0


def test_of_equal_outputs_the_first_counts():
    y = np.zeros((4, 4))
    labels = np.arange(4)
    assert after("accuracy", (y, labels)) == 0.25
    assert [after(f"top{k}", (y, labels)) for k in (1, 2, 3, 4)] == [0.25, 0.5, 0.75, 1.0]
    infinite = np.array([[-np.inf, 0.0], [np.inf, 0.0]])
    assert after("accuracy", (infinite, np.array([1, 0]))) == 1.0
    assert after("top1", (infinite, np.array([1, 0]))) == 1.0
    nothing = np.full((1, 3), -np.inf)
    assert after("top1", (nothing, np.array([1]))) == 0.0
    assert after("top3", (nothing, np.array([-1]))) == after("top3", (nothing, np.array([3]))) == 0.0


@given(st.integers(1, 6), st.integers(0, 10**6), st.booleans())
@settings(deadline=None, max_examples=50)
def test_top_k_is_a_sort(k, seed, coarse):
    y, labels = logits(30, 6, seed, coarse)
    order = np.argsort(-y, axis=1, kind="stable")
    expected = np.mean([label in row[:k] for label, row in zip(labels, order, strict=True)])
    assert after(metrics.TopK(k), (y, labels)) == pytest.approx(expected)
    assert after("top1", (y, labels)) == after("accuracy", (y, labels))
