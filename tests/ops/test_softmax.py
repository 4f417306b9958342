"""Softmax and cross-entropy where classes are many or logits extreme; parity and gradients are in tests/generated."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import losses, ops

EPS = np.finfo(np.float32).eps


def exact(x):
    x = x.astype(np.longdouble)
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def numba(x):
    return xpnn.tensor(x, requires_grad=True, backend="numba")


@pytest.mark.parametrize("C", [1, 2, 15, 16, 17, 63, 64, 65, 127, 1000, 20011])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_softmax_of_so_many_classes(C, spread):
    x = (np.random.default_rng(C).standard_normal((3, C)) * spread).astype(np.float32)
    want = exact(x)
    np.testing.assert_allclose(ops.softmax(numba(x)).numpy(), want, rtol=60 * EPS, atol=1e-37)
    np.testing.assert_allclose(ops.log_softmax(numba(x)).numpy(), np.log(want.astype(float)), rtol=20 * EPS, atol=1e-6)


@pytest.mark.parametrize("C", [10, 64, 70])
def test_the_exponentials_over_their_whole_range(C):
    """Each class against the largest one: within 4 units of the last place, and 0 below the smallest normal number."""
    gaps = np.linspace(0, 110, 5 * (C - 1)).astype(np.float32).reshape(5, C - 1)
    x = np.concatenate([np.zeros((5, 1), np.float32), -gaps], axis=1)
    y = ops.softmax(numba(x)).numpy()
    ratio, want = y[:, 1:].astype(np.longdouble) / y[:, :1], np.exp(-gaps.astype(np.longdouble))
    normal = want > 2.0**-120
    assert np.abs(ratio / want - 1)[normal].max() < 4 * EPS
    assert np.abs(ratio - want)[~normal].max() < 2.0**-119


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("C", [5, 70, 300])
def test_masked_and_huge_logits(place, dtype, C):
    with xpnn.use(place):
        x = np.zeros((2, C), dtype)
        x[0, 1], x[1, 2:] = 1e30, -math.inf
        t = xpnn.tensor(x, requires_grad=True)
        y = ops.softmax(t).numpy()
        assert y[0].tolist() == [0, 1, *[0] * (C - 2)]
        assert y[1].tolist() == [0.5, 0.5, *[0] * (C - 2)]
        loss = losses.cross_entropy(t, np.array([1, 0]), reduction="none")
        np.testing.assert_allclose(loss.numpy(), [0, math.log(2)], rtol=1e-6)
        loss.sum().backward()
        np.testing.assert_allclose(t.grad.numpy()[1, :3], [-0.5, 0.5, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("soft", [False, True])
def test_smoothed_labels_of_huge_logits(place, dtype, soft):
    """Half of C largest numbers is more than the largest, a tenth of their mean is not."""
    C, far = 10, float(np.finfo(dtype).max) / 2
    x = np.full((1, C), -far, dtype)
    x[0, 3] = 0
    target = np.eye(C, dtype=dtype)[[3]] if soft else np.array([3])
    loss = losses.cross_entropy(xpnn.tensor(x), xpnn.tensor(target), label_smoothing=0.1, reduction="none")
    np.testing.assert_allclose(loss.numpy(), [far * 0.1 * (C - 1) / C], rtol=10 * np.finfo(dtype).eps)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("C", [3, 16, 70, 200])
def test_a_nan_anywhere_spoils_its_row_and_no_other(dtype, C):
    for where in {0, 1, C // 2, C - 1}:
        x = np.zeros((3, C), dtype)
        x[1, where] = math.nan
        for function in (ops.softmax, ops.log_softmax):
            t = numba(x)
            y = function(t)
            assert np.isnan(y.numpy()).all(axis=1).tolist() == np.isnan(y.numpy()).any(axis=1).tolist()
            assert np.isnan(y.numpy()).any(axis=1).tolist() == [False, True, False]
        for target in (np.zeros(3, np.int64), np.full((3, C), 1 / C, dtype)):
            t = numba(x)
            loss = losses.cross_entropy(t, xpnn.tensor(target, backend="numba"), reduction="none")
            loss.sum().backward()
            assert np.isnan(loss.numpy()).tolist() == [False, True, False]
            assert np.isnan(t.grad.numpy()).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("label", [-1, 7, 1 << 40])
def test_a_label_out_of_range(reduction, label):
    t = numba(np.zeros((3, 7), np.float32))
    loss = losses.cross_entropy(t, xpnn.tensor(np.array([1, label, 2]), backend="numba"), reduction=reduction)
    loss.sum().backward()
    assert np.isnan(loss.numpy()).reshape(-1).tolist() == ([False, True, False] if reduction == "none" else [True])
    assert np.isnan(t.grad.numpy()).all(axis=1).tolist() == [False, True, False]


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("soft", [False, True])
def test_the_number_of_threads_changes_no_bit(smoothing, soft):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((37, 1000)).astype(np.float32), rng.integers(0, 1000, 37)
    target = exact(rng.standard_normal((37, 1000))).astype(np.float32) if soft else labels

    def run(threads):
        xpnn.set_num_threads(threads)
        t = numba(x)
        loss = losses.cross_entropy(t, xpnn.tensor(target, backend="numba"), label_smoothing=smoothing)
        (loss + ops.softmax(t).sum() + ops.log_softmax(t)[0, 0]).backward()
        return loss.numpy(), t.grad.numpy()

    most = xpnn.get_num_threads()
    try:
        one, all_of_them = run(1), run(most)
    finally:
        xpnn.set_num_threads(most)
    for a, b in zip(one, all_of_them, strict=True):
        np.testing.assert_array_equal(a, b)
