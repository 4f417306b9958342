"""The confusion matrix and its quotients: by hand, and where there is nothing to divide."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn import metrics

from .conftest import after, logits


def test_confusion_matrix_by_hand():
    predicted, labels = [0, 1, 1, 2, 0, 0], np.array([0, 1, 0, 1, 0, 2])
    y = np.eye(3)[predicted]
    assert after("confusion_matrix", (y, labels)).tolist() == [[2, 1, 0], [0, 1, 1], [1, 0, 0]]
    third, half = 1 / 3, 1 / 2
    assert after(metrics.Precision(None), (y, labels)).tolist() == pytest.approx([2 * third, half, 0])
    assert after(metrics.Recall(None), (y, labels)).tolist() == pytest.approx([2 * third, half, 0])
    assert after("precision", (y, labels)) == pytest.approx(7 / 18)
    assert after(metrics.Precision("micro"), (y, labels)) == pytest.approx(half)
    assert after(metrics.Recall("weighted"), (y, labels)) == pytest.approx(half)
    assert after(metrics.F1("weighted"), (y, labels)) == pytest.approx((3 * 2 * third + 2 * half) / 6)


def test_classes_that_do_not_occur_are_left_out_of_the_mean():
    y, labels = np.eye(5)[[0, 1, 1]], np.array([0, 1, 0])
    assert after("recall", (y, labels)) == pytest.approx((0.5 + 1) / 2)
    assert after(metrics.Recall(None), (y, labels)).tolist() == [0.5, 1, 0, 0, 0]


def test_zero_over_zero_is_zero():
    y, labels = np.eye(3)[[0, 0]], np.array([0, 1])
    assert after(metrics.Precision(None), (y, labels)).tolist() == [0.5, 0, 0]
    assert after("precision", (y, labels)) == 0.25
    assert after("recall", (y, labels)) == 0.5
    assert after("recall", (np.eye(3)[[0, 2]], np.array([0, 0]))) == 0.25  # class 2 was called, so it counts


def test_many_samples_add_up():
    metric = metrics.ConfusionMatrix()
    y, labels = logits(5000, 3)
    for _ in range(30):
        metric.update(y, labels)
    np.testing.assert_array_equal(metric.value(), 30 * after("confusion_matrix", (y, labels)))
    assert metric.value().dtype == np.int64


def test_many_classes_and_small_labels():
    y, labels = np.eye(200)[::-1], np.arange(200, dtype=np.uint8)
    np.testing.assert_array_equal(after("confusion_matrix", (y, labels)), np.eye(200)[::-1])


def test_nan_is_a_missed_label_and_no_prediction():
    y, labels = np.eye(2)[[0, 1, 1]], np.array([0, 1, 1])
    y[2] = np.nan
    assert after(metrics.Precision(None), (y, labels)).tolist() == [1.0, 1.0]
    assert after(metrics.Recall(None), (y, labels)).tolist() == [1.0, 0.5]
    assert after(metrics.F1("micro"), (y, labels)) == pytest.approx(2 * 2 / (2 + 3))


def test_nothing_seen_of_a_matrix():
    assert metrics.ConfusionMatrix().value().shape == (0, 0)
    assert np.all(metrics.ConfusionMatrix(3).value() == np.zeros((3, 3)))
    assert np.all(np.isnan(metrics.Recall(average=None, classes=3).value()))
