"""Pooling: values by hand, ties, padding, NaN, errors; parity and gradients are in tests/generated."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.errors import ConfigError, DTypeError, ShapeError
from xpnn.ops import window as windows


def image(rows, dtype="float32"):
    """One image of one channel."""
    return xpnn.tensor(np.array(rows, dtype)[None, :, :, None], requires_grad=True)


def pixels(t):
    return t.numpy()[0, ..., 0].tolist()


def test_values_by_hand(place):
    x = image([[1, 2, 5], [4, 3, 6], [7, 8, 9]])
    assert pixels(ops.max_pool2d(x, 2)) == [[4]]
    assert pixels(ops.max_pool2d(x, 2, 1)) == [[4, 6], [8, 9]]
    assert pixels(ops.avg_pool2d(x, 2, 1)) == [[2.5, 4], [5.5, 6.5]]
    assert pixels(ops.max_pool2d(x, (1, 3))) == [[5], [6], [9]]
    assert pixels(ops.max_pool2d(x, 2, padding=((1, 0), (1, 0)))) == [[1, 5], [7, 9]]
    assert pixels(ops.max_pool2d(x, 2, padding="same")) == [[4, 6], [8, 9]]
    assert pixels(ops.avg_pool2d(x, 2, padding="same")) == [[2.5, 5.5], [7.5, 9]]  # the padding does not count
    assert ops.max_pool2d(x, 3, 2, padding="same").shape == (1, 2, 2, 1)
    assert ops.avg_pool2d(x, 1, 2, padding="valid").shape == (1, 2, 2, 1)


def test_the_padding_is_never_the_largest(place):
    x = image([[-3.0, -math.inf], [-2.0, -math.inf]])
    y = ops.max_pool2d(x, 2, 1, padding=1)
    assert pixels(y)[0] == [-3, -3, -math.inf]
    y.backward(xpnn.tensor(np.ones(y.shape, np.float32)))
    assert sum(sum(row) for row in pixels(x.grad)) == 9  # nothing was lost to the padding


def test_the_first_of_the_largest_has_the_gradient(place):
    x = image(np.zeros((4, 4)))
    y = ops.max_pool2d(x, 3, 1)
    y.backward(xpnn.tensor(np.array([1, 2, 3, 4], np.float32).reshape(y.shape)))
    assert pixels(x.grad) == [[1, 2, 0, 0], [3, 4, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_is_the_largest_and_the_average(place, dtype):
    values = np.ones((1, 4, 4, 70), dtype)
    values[0, 1, 0, :] = values[0, 1, 1, 40] = math.nan
    values[0, 0, 3, 69] = math.nan
    x = xpnn.tensor(values, requires_grad=True)
    expected = np.zeros((2, 2, 70), bool)
    expected[0, 0], expected[0, 1, 69] = True, True
    y = ops.max_pool2d(x, 2)
    np.testing.assert_array_equal(np.isnan(y.numpy()[0]), expected)
    np.testing.assert_array_equal(np.isnan(ops.avg_pool2d(x, 2).numpy()[0]), expected)
    y.backward(xpnn.tensor(np.ones(y.shape, dtype)))
    assert x.grad.numpy()[0, 1, 0].tolist() == [1] * 70  # the first NaN
    assert x.grad.numpy()[0, 0, 3, 69] == 1


def test_nan_comes_back(place):
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        x = image(np.arange(4.0).reshape(2, 2))
        y = pool(x, 2)
        y.backward(xpnn.tensor(np.full(y.shape, math.nan, np.float32)))
        assert math.isnan(x.grad.numpy()[0, 1, 1, 0])


def test_one_axis(place):
    x = xpnn.tensor(np.array([[[1.0], [5.0], [2.0], [4.0], [3.0]]], np.float32))
    assert ops.max_pool1d(x, 2).numpy().ravel().tolist() == [5, 4]
    assert ops.max_pool1d(x, 3, 2, "same").numpy().ravel().tolist() == [5, 5, 4]
    assert ops.max_pool1d(x, 2, 2, (1, 0)).numpy().ravel().tolist() == [1, 5, 4]
    assert ops.avg_pool1d(x, 2, padding=(0, 1)).numpy().ravel().tolist() == [3, 3, 3]


def test_all_axes(place):
    rng = np.random.default_rng(0)
    for shape in ((2, 5, 3), (2, 4, 6, 3), (1, 2, 3, 4, 5), (2, 30, 30, 3)):
        x = rng.standard_normal(shape)
        between = tuple(range(1, len(shape) - 1))
        np.testing.assert_allclose(ops.global_avg_pool(xpnn.tensor(x)).numpy(), x.mean(between))
        np.testing.assert_array_equal(ops.global_max_pool(xpnn.tensor(x)).numpy(), x.max(between))
    x = xpnn.tensor(np.zeros((1, 20, 20, 2), np.float32), requires_grad=True)
    ops.global_max_pool(x).sum().backward()
    assert np.argwhere(x.grad.numpy()).tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]


def test_no_images(place):
    for pool in (ops.max_pool2d, ops.avg_pool2d):
        x = xpnn.tensor(np.zeros((0, 4, 4, 3), np.float32), requires_grad=True)
        y = pool(x, 2)
        assert y.shape == (0, 2, 2, 3)
        y.sum().backward()
        assert x.grad.shape == (0, 4, 4, 3)


def test_windows_far_larger_than_the_image(place):
    """Nothing as large as they are is allocated."""
    x = np.random.default_rng(0).permutation(18).reshape(1, 3, 6, 1).astype("f")
    with xpnn.use(place):
        t = xpnn.tensor(x, requires_grad=True)
        y = ops.max_pool2d(t, 2**30, 1, "same")
        np.testing.assert_array_equal(y.numpy(), np.full_like(x, 17))
        y.sum().backward()
        np.testing.assert_array_equal(t.grad.numpy(), 18 * (x == 17))
        np.testing.assert_allclose(ops.avg_pool2d(t, 2**30, 1, "same").numpy(), np.full_like(x, x.mean()), rtol=1e-6)


def test_windows_cut_to_what_reaches_the_image_see_the_same_pixels():
    rng, cut = np.random.default_rng(0), 0
    for _ in range(300):
        H, K, S = (int(n) for n in rng.integers(1, (8, 20, 8)))
        padding = tuple(int(n) for n in rng.integers(0, K, 2)), (0, 0)
        if H + sum(padding[0]) < K:
            continue
        counts = windows.count("pool", (H, 1), (K, 1), (S, 1), padding)
        (k, _), around = windows.reaching((H, 1), counts, (K, 1), (S, 1), padding)
        assert windows.count("pool", (H, 1), (k, 1), (S, 1), around) == counts
        assert max(around[0]) < k <= K
        for i in range(counts[0]):
            start, new = i * S - padding[0][0], i * S - around[0][0]
            assert range(max(start, 0), min(start + K, H)) == range(max(new, 0), min(new + k, H))
        cut += k < K
    assert cut > 50


@pytest.mark.parametrize("pool", [ops.max_pool2d, ops.avg_pool2d])
def test_the_number_of_threads_changes_nothing(pool):
    x = np.random.default_rng(1).standard_normal((3, 33, 31, 67)).astype(np.float32)

    def run(threads):
        xpnn.set_num_threads(threads)
        with xpnn.use("numba"):
            t = xpnn.tensor(x, requires_grad=True)
            y = pool(t, 3, 2, 1)
            y.backward(np.cos(y.numpy()))
            return y.numpy(), t.grad.numpy()

    most = xpnn.get_num_threads()
    try:
        one, all_of_them = run(1), run(most)
    finally:
        xpnn.set_num_threads(most)
    for a, b in zip(one, all_of_them, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda x: ops.max_pool2d(x[0], 2), ShapeError, r"max_pool2d: expected x \(N, H, W, C\); got \(4, 4, 1\)"),
        (lambda x: ops.max_pool1d(x, 2), ShapeError, r"max_pool1d: expected x \(N, T, C\)"),
        (lambda x: ops.global_avg_pool(x[0, 0]), ShapeError, r"global_avg_pool: expected x \(N, ..., C\)"),
        (lambda x: ops.global_avg_pool(x[:, :0]), ShapeError, "global_avg_pool: .* with a pixel at least; got"),
        (
            lambda x: ops.max_pool2d(x, 2, 2**63),
            ConfigError,
            r"max_pool2d: expected stride < 2\*\*31; got 9223372036854",
        ),
        (lambda x: ops.max_pool2d(x, 5), ShapeError, "max_pool2d: expected images of at least 5 x 5 pixels"),
        (lambda x: ops.avg_pool2d(x, 0), ConfigError, "avg_pool2d: expected window >= 1; got 0"),
        (lambda x: ops.avg_pool2d(x, (2, 2, 2)), ConfigError, "expected window as a number or a pair"),
        (lambda x: ops.avg_pool2d(x, 2.5), DTypeError, "avg_pool2d: window: expected whole numbers; got 2.5"),
        (lambda x: ops.max_pool2d(x, 2, 0), ConfigError, "max_pool2d: expected stride >= 1; got 0"),
        (lambda x: ops.max_pool2d(x, 2, padding=2), ConfigError, r"expected less padding than the window \(2, 2\)"),
        (lambda x: ops.max_pool2d(x, 2, padding=-1), ConfigError, "expected padding >= 0; got -1"),
        (lambda x: ops.max_pool2d(x, 2, padding="full"), ConfigError, "'same', 'valid', a number or pairs; got 'full'"),
        (lambda x: ops.max_pool2d(x.astype("int64"), 2), DTypeError, "max_pool2d: expected one floating-point dtype"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call(xpnn.tensor(np.zeros((2, 4, 4, 1), np.float32)))
