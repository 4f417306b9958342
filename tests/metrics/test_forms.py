"""Every metric: whatever the form of outputs and targets, however cut into batches, on every backend."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

import xpnn
from xpnn import metrics

from .conftest import BACKENDS, NAMES, after, logits


@pytest.mark.parametrize("name", NAMES)
def test_targets_in_every_form_mean_the_same(name):
    y, labels = logits()
    onehot = np.eye(4)[labels]
    expected = after(name, (y, labels))
    forms = [
        labels.tolist(),
        labels.astype(np.uint8),
        labels.astype(np.int32),
        onehot,
        onehot.astype(int),
        onehot * 0.8 + 0.05,
        xpnn.tensor(labels),
        xpnn.tensor(onehot),
    ]
    for target in forms:
        np.testing.assert_array_equal(after(name, (y, target)), expected)
        np.testing.assert_array_equal(after(name, (xpnn.tensor(y), target)), expected)
    sequences = (y.reshape(12, 5, 4), labels.reshape(12, 5))
    np.testing.assert_array_equal(after(name, sequences), expected)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "top2"])
def test_binary_outputs_in_every_form_mean_the_same(name):
    rng = np.random.default_rng(0)
    y, labels = rng.normal(size=50), rng.integers(0, 2, 50)
    expected = after(name, (y, labels))
    column = (50, 1)
    for output in (y, y.reshape(column), xpnn.tensor(y), xpnn.tensor(y.reshape(column))):
        for target in (labels, labels.astype(bool), labels * 1.0, labels * 2 - 1, labels.reshape(column)):
            np.testing.assert_array_equal(after(name, (output, target)), expected)
    pair = np.stack([np.zeros(50), y], 1)  # two logits whose difference is y
    np.testing.assert_array_equal(after(name, (pair, labels)), expected)


def test_the_threshold_of_binary_outputs():
    y, labels = np.array([-1.0, 0.0, 0.2, 0.6]), np.array([0, 0, 0, 1])
    assert after("accuracy", (y, labels)) == 0.75  # 0 itself is class 0
    assert after(metrics.Accuracy(threshold=0.5), (y, labels)) == 1.0
    assert after(metrics.Precision("binary", threshold=0.1), (y, labels)) == 0.5


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", NAMES)
def test_every_backend_agrees(name, backend):
    y, labels = logits()
    batches = [(xpnn.tensor(a, backend=backend), xpnn.tensor(b, backend=backend)) for a, b in ((y, labels),) * 2]
    np.testing.assert_allclose(after(name, *batches), after(name, (y, labels), (y, labels)), rtol=1e-12)


def test_metrics_may_see_outputs_of_a_graph():
    y, labels = logits()
    output = xpnn.tensor(y, requires_grad=True) * 2.0
    assert after("accuracy", (output, labels)) == after("accuracy", (y, labels))


@pytest.mark.parametrize("name", NAMES)
def test_batches_add_up_and_reset_forgets(name):
    y, labels = logits(61)
    metric = metrics.get(name)
    metric.update(*logits(30, seed=9))
    metric.reset()
    for cut in range(0, 61, 7):
        metric.update(y[cut : cut + 7], labels[cut : cut + 7])
    metric.update(y[:0], labels[:0])
    np.testing.assert_array_equal(metric.value(), after(name, (y, labels)))
    np.testing.assert_array_equal(metric.value(), metric.value())


@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_labels_may_be_overwritten_after_update(name):
    y, labels = logits()
    expected = after(name, (y, labels))
    metric = metrics.get(name)
    metric.update(xpnn.tensor(y), xpnn.tensor(labels))
    y[...] = 0
    labels[...] = 0
    np.testing.assert_array_equal(metric.value(), expected)


@pytest.mark.parametrize("name", NAMES)
def test_state_goes_through_json(name):
    y, labels = logits()
    metric, resumed = metrics.get(name), metrics.get(name)
    resumed.load_state(json.loads(json.dumps(metric.state())))
    metric.update(y[:20], labels[:20])
    resumed.update(y[30:40], labels[30:40])
    resumed.load_state(json.loads(json.dumps(metric.state())))
    resumed.update(y[20:], labels[20:])
    np.testing.assert_array_equal(resumed.value(), after(name, (y, labels)))


@pytest.mark.parametrize("name", [n for n in NAMES if n != "confusion_matrix"])
def test_nothing_seen_is_not_a_number(name):
    assert math.isnan(metrics.get(name).value())
