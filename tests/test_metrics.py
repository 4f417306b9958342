"""Metrics by hand, against loops, and against scikit-learn."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import metrics
from xpnn.core import backend as backends
from xpnn.errors import BackendError, ConfigError, DataError, DTypeError, ShapeError, XpnnError

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]
NAMES = ["accuracy", "top2", "precision", "recall", "f1", "confusion_matrix", "roc_auc"]


def logits(n=60, classes=4, seed=0, coarse=False):
    """Outputs and labels; coarse ones have many ties."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, classes)) if not coarse else rng.integers(-2, 3, (n, classes)).astype("float64")
    return y, rng.integers(0, classes, n)


def after(metric, *batches):
    metric = metrics.get(metric)
    for output, target in batches:
        metric.update(output, target)
    return metric.value()


# Forms of outputs and targets -----------------------------------------------------------------------------------------


def test_accuracy_by_hand():
    y = np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [2.0, -1.0]])
    assert after("accuracy", (y, np.array([1, 0, 0, 0]))) == 0.75
    assert after("accuracy", (y[:2], np.array([1, 0])), (y[2:], np.array([0, 1]))) == 0.5


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


def test_nothing_seen_of_a_matrix():
    assert metrics.ConfusionMatrix().value().shape == (0, 0)
    assert np.all(metrics.ConfusionMatrix(3).value() == np.zeros((3, 3)))
    assert np.all(np.isnan(metrics.Recall(average=None, classes=3).value()))


# NaN and ties ---------------------------------------------------------------------------------------------------------


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


def test_nan_is_a_missed_label_and_no_prediction():
    y, labels = np.eye(2)[[0, 1, 1]], np.array([0, 1, 1])
    y[2] = np.nan
    assert after(metrics.Precision(None), (y, labels)).tolist() == [1.0, 1.0]
    assert after(metrics.Recall(None), (y, labels)).tolist() == [1.0, 0.5]
    assert after(metrics.F1("micro"), (y, labels)) == pytest.approx(2 * 2 / (2 + 3))


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


# The confusion matrix and its quotients -------------------------------------------------------------------------------


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


# ROC AUC --------------------------------------------------------------------------------------------------------------


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


# Names and refusals ---------------------------------------------------------------------------------------------------


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


# scikit-learn ---------------------------------------------------------------------------------------------------------

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
