"""Names of metrics, and what none of them takes."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import metrics
from xpnn.errors import BackendError, ConfigError, DataError, DTypeError, ShapeError, XpnnError

from .conftest import BACKENDS, NAMES, after, logits


def test_names():
    for name in [*NAMES, "top1", "top10"]:
        metric = metrics.get(name)
        assert metric.name == name
        assert metrics.get(metric) is metric
        assert metric.higher_is_better is (None if name == "confusion_matrix" else True)
    assert set(metrics.METRICS) <= {*NAMES}
    assert metrics.Precision("micro").name == "precision_micro"
    assert metrics.F1(None).name == "f1_by_class"
    assert metrics.get("accuracy") is not metrics.get("accuracy")


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: metrics.get("acuracy"), ConfigError, "metric 'acuracy' is unknown; .* Did you mean 'accuracy'?"),
        (lambda: metrics.get("top0"), ConfigError, "metric 'top0' is unknown"),
        (lambda: metrics.get("top"), ConfigError, "metric 'top' is unknown"),
        (lambda: metrics.get(len), ConfigError, "metric <built-in function len> is unknown; expected one of"),
        (lambda: metrics.TopK(0), ConfigError, "TopK: expected k >= 1; got 0"),
        (lambda: metrics.F1("mean"), ConfigError, "F1: expected average macro, .* or None; got 'mean'"),
        (lambda: metrics.ConfusionMatrix(1), ConfigError, "ConfusionMatrix: expected classes >= 2; got 1"),
        (lambda: after("top5", logits()), ShapeError, r"top5: expected outputs \(N, C\) with C >= 5; got \(60, 4\)"),
        (
            lambda: after(metrics.ConfusionMatrix(3), logits()),
            ShapeError,
            "confusion_matrix: expected outputs of 3 classes; got 4",
        ),
        (lambda: after("f1", logits(), logits(classes=3)), ShapeError, "f1: expected outputs of 4 classes; got 3"),
        (
            lambda: after("roc_auc", logits(), logits(classes=3)),
            ShapeError,
            "roc_auc: expected outputs of 4 classes; got 3",
        ),
        (lambda: after(metrics.F1("binary"), logits()), ShapeError, "f1_binary: expected outputs of two classes"),
        (
            lambda: after("accuracy", (np.ones((3, 4)), np.ones(4, int))),
            ShapeError,
            r"accuracy: expected outputs .*; got \(3, 4\) with \(4,\)",
        ),
        (lambda: after("accuracy", (np.ones((3, 4)), np.ones((3, 1), int))), ShapeError, r"with \(3, 1\)"),
        (lambda: after("accuracy", (np.ones(3), np.ones(4))), ShapeError, r"got \(3,\) with \(4,\)"),
        (lambda: after("accuracy", (np.ones((3, 0)), np.ones(3, int))), ShapeError, r"got \(3, 0\) with \(3,\)"),
        (lambda: after("accuracy", (1.0, 1)), ShapeError, r"got \(\) with \(\)"),
        (
            lambda: after("accuracy", (np.ones((3, 4)), np.ones(3))),
            DTypeError,
            r"accuracy: expected whole numbers as labels \(3,\); got float64",
        ),
        (
            lambda: metrics.ConfusionMatrix(4).load_state({"counts": [[1, 0, 0], [0, 1, 0]]}),
            ConfigError,
            "confusion_matrix: expected the state of 4 classes; got 2",
        ),
    ],
)
def test_what_makes_no_sense(make, error, text):
    with pytest.raises(error, match=text) as caught:
        make()
    assert isinstance(caught.value, XpnnError)
    assert "\n" not in str(caught.value)


def test_outputs_and_targets_on_two_backends():
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    y, labels = logits()
    with pytest.raises(BackendError, match=r"accuracy: expected one backend; got outputs on numpy and targets on .*to"):
        after("accuracy", (xpnn.tensor(y, backend="numpy"), xpnn.tensor(labels, backend=BACKENDS[1])))


def test_a_metric_of_ones_own_may_have_any_form():
    with pytest.raises(NotImplementedError):
        metrics.Metric().value()


@pytest.mark.parametrize("label", [-1, 4, 255])
def test_labels_out_of_range(label):
    y, labels = logits()
    labels[3] = label
    others = np.arange(60) != 3
    for name in ("accuracy", "top2", "top4"):
        assert after(name, (y, labels)) == pytest.approx(after(name, (y[others], labels[others])) * 59 / 60)
    for name in ("confusion_matrix", "f1", "roc_auc"):
        with pytest.raises(DataError, match=f"{name}: expected labels from 0 to 3; got"):
            after(name, (y, labels))
