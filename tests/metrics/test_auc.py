"""ROC AUC: by hand, and as the share of pairs in order."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpnn import metrics

from .conftest import after, logits


def test_auc_by_hand():
    assert after("roc_auc", (np.array([0.1, 0.4, 0.35, 0.8]), np.array([0, 0, 1, 1]))) == 0.75
    assert after("roc_auc", (np.array([1.0, 2.0, 3.0]), np.array([0, 0, 1]))) == 1.0
    assert after("roc_auc", (np.array([3.0, 2.0, 1.0]), np.array([0, 0, 1]))) == 0.0
    assert after("roc_auc", (np.zeros(7), np.array([0, 0, 1, 1, 1, 0, 1]))) == 0.5
    assert after("roc_auc", (np.array([-np.inf, 0.0, np.inf]), np.array([0, 1, 1]))) == 1.0


@given(st.integers(0, 10**6), st.booleans())
@settings(deadline=None, max_examples=50)
def test_auc_is_the_share_of_pairs_in_order(seed, coarse):
    y, labels = logits(40, 2, seed, coarse)
    score, label = y[:, 0], labels
    high, low = score[label == 1], score[label == 0]
    value = after("roc_auc", (score, label))
    if not len(high) or not len(low):
        assert math.isnan(value)
    else:
        pairs = (high[:, None] > low) + 0.5 * (high[:, None] == low)
        assert value == pytest.approx(pairs.mean())


def test_auc_of_logits_is_that_of_their_probabilities():
    y, labels = logits(80, 3)
    p = np.exp(y) / np.exp(y).sum(1, keepdims=True)
    value = after("roc_auc", (y, labels))
    assert value == pytest.approx(after(metrics.RocAuc(logits=False), (p, labels)))
    assert value == pytest.approx(after("roc_auc", (y + np.linspace(0, 50, 80)[:, None], labels)))
    assert value != pytest.approx(after(metrics.RocAuc(logits=False), (y, labels)))


def test_auc_of_infinite_logits():
    y, labels = logits(30, 3)
    y[labels == 2, 0] = -np.inf  # a masked class
    assert 0 < after("roc_auc", (y, labels)) <= 1
    y[0, 0] = np.inf
    assert math.isnan(after("roc_auc", (y, labels)))


def test_classes_without_samples_are_left_out_of_auc():
    y, _ = logits(20, 4)
    labels = np.arange(20) % 2
    with_all = metrics.RocAuc(logits=False)
    with_all.update(y, labels)
    expected = np.mean([metrics.auc(y[:, c], labels == c) for c in (0, 1)])
    assert with_all.value() == pytest.approx(expected)
    assert math.isnan(after("roc_auc", (y, np.zeros(20, int))))
