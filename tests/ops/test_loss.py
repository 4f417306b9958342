"""Losses by hand, what they refuse, and their odd corners; parity and gradients are in tests/generated."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.errors import AutogradError, ConfigError, DTypeError, ShapeError
from xpnn.ops.loss import LOSSES

Y = np.array([[2.0, -1.0, 0.5], [0.0, 3.0, -2.0]])
T = np.array([[1.0, -1.0, 1.0], [-1.0, 1.0, 1.0]])
P = (T + 1) / 2  # the same as probabilities

# The elements of each loss, worked out without the library's formulas.
ELEMENTS = {
    "mean_squared_error": (T, [[1, 0, 0.25], [1, 4, 9]]),
    "half_sum_of_squares": (T, [[0.5, 0, 0.125], [0.5, 2, 4.5]]),
    "binary_cross_entropy": (P, -P * np.log(1 / (1 + np.exp(-Y))) - (1 - P) * np.log(1 - 1 / (1 + np.exp(-Y)))),
    "perceptron": (T, [[0, 0, 0], [0, 0, 2]]),
    "l1": (T, [[1, 0, 0.5], [1, 2, 3]]),
    "huber": (T, [[0.5, 0, 0.125], [0.5, 1.5, 2.5]]),
}


@pytest.fixture(params=["numpy", "numba"])
def place(request):
    with xpnn.use(request.param):
        yield request.param


def call(name, y, target, **options):
    return getattr(ops, name)(y, target, **options)


@pytest.mark.parametrize("name", LOSSES)
def test_reductions_by_hand(name, place):
    target, elements = ELEMENTS[name]
    elements = np.array(elements, np.float64)
    y = xpnn.tensor(Y)
    total = elements.sum()
    count = 2 if name == "half_sum_of_squares" else 6
    np.testing.assert_allclose(call(name, y, target).item(), total / count, rtol=1e-13)
    np.testing.assert_allclose(call(name, y, target, reduction="sum").item(), total, rtol=1e-13)
    each = elements.sum(axis=1) if name == "half_sum_of_squares" else elements
    np.testing.assert_allclose(call(name, y, target, reduction="none").numpy(), each, rtol=1e-13, atol=1e-15)


def test_every_loss_has_a_function_and_a_test():
    assert set(ELEMENTS) == set(LOSSES)
    assert set(LOSSES) < set(ops.__all__)


def test_half_sum_of_squares_of_images_is_per_sample(place):
    y = xpnn.tensor(np.arange(24.0).reshape(2, 3, 4))
    zero = np.zeros((2, 3, 4))
    each = (np.arange(24.0).reshape(2, 12) ** 2).sum(axis=1) / 2
    np.testing.assert_allclose(ops.half_sum_of_squares(y, zero, reduction="none").numpy(), each)
    np.testing.assert_allclose(ops.half_sum_of_squares(y, zero).item(), each.mean())


def test_huber_delta(place):
    y = xpnn.tensor([0.5, -3.0], requires_grad=True)
    loss = ops.huber(y, [0.0, 0.0], delta=2.0, reduction="sum")
    assert loss.item() == 0.125 + 2.0 * (3.0 - 1.0)
    loss.backward()
    assert y.grad.numpy().tolist() == [0.5, -2.0]


def test_large_arguments_do_not_overflow(place):
    y = xpnn.tensor(np.array([1e30, -1e30, 100.0, -100.0], np.float32), requires_grad=True)
    bce = ops.binary_cross_entropy(y, np.array([0.0, 1.0, 1.0, 0.0], np.float32), reduction="sum")
    np.testing.assert_allclose(bce.item(), 2e30, rtol=1e-6)
    bce.backward()
    np.testing.assert_allclose(y.grad.numpy(), [1, -1, 0, 0], atol=1e-30)
    assert ops.huber(y, np.zeros(4, np.float32), reduction="sum").item() == pytest.approx(2e30, rel=1e-6)


# What a slip in the targets does ------------------------------------------------------------------------------


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize(
    ("y", "target", "fix"),
    [
        ((4, 1), (4,), r"Use target.reshape\(4, 1\)"),
        ((4,), (4, 1), r"Use target.reshape\(4,\)"),
        ((4, 3), (4,), "Labels. Make them one-hot first"),
        ((4, 3), (1, 3), "Give every output its target"),
        ((4, 3), (), "Give every output its target"),
    ],
)
def test_nothing_is_broadcast(name, y, target, fix):
    text = rf"^{name}: expected y and target of one shape; got y .* and target .*\. {fix}"
    with pytest.raises(ShapeError, match=text) as caught:
        call(name, xpnn.tensor(np.zeros(y)), np.zeros(target))
    assert str(y) in str(caught.value)
    assert str(target) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LOSSES)
def test_bad_arguments(name):
    y = xpnn.tensor(Y)
    with pytest.raises(ConfigError, match=f"{name}: expected reduction mean, sum or none; got 'average'"):
        call(name, y, T, reduction="average")
    with pytest.raises(DTypeError, match=f"{name}: expected one floating-point dtype"):
        call(name, y, xpnn.tensor(T.astype(np.float32)))
    with pytest.raises(DTypeError, match=f"{name}: expected one floating-point dtype"):
        call(name, xpnn.tensor(np.ones((2, 3), np.int64)), T)
    with pytest.raises(ShapeError, match=f"{name}: expected y .*not empty"):
        call(name, xpnn.tensor(np.zeros((0, 3))), np.zeros((0, 3)))
    with pytest.raises(AutogradError, match=rf"{name}: target has no gradient; use .detach\(\)"):
        call(name, xpnn.tensor(Y, requires_grad=True), xpnn.tensor(T, requires_grad=True))


def test_half_sum_of_squares_needs_a_batch_axis():
    with pytest.raises(ShapeError, match=r"half_sum_of_squares: expected y \(N, ...\)"):
        ops.half_sum_of_squares(xpnn.tensor(np.float64(1.0)), 2.0)


@pytest.mark.parametrize("delta", [0.0, -1.0, math.nan])
def test_huber_refuses_delta(delta):
    with pytest.raises(ConfigError, match="huber: expected delta > 0"):
        ops.huber(xpnn.tensor(Y), T, delta=delta)


@pytest.mark.parametrize("dtype", ["bool", "int64", "uint8", "float64"])
def test_targets_are_converted(dtype, place):
    y = xpnn.tensor(Y.astype(np.float32))
    want = ops.binary_cross_entropy(y, P.astype(np.float32))
    got = ops.binary_cross_entropy(y, P.astype(dtype))
    assert got.dtype == np.float32
    assert got.item() == want.item()
    if dtype != "float64":  # a tensor keeps the floating-point dtype it was given
        assert ops.binary_cross_entropy(y, xpnn.tensor(P.astype(dtype))).item() == want.item()


def test_targets_outside_the_meaning_of_a_loss_are_nan(place):
    y = xpnn.tensor(np.array([1.0, 2.0, 3.0]), requires_grad=True)
    loss = ops.binary_cross_entropy(y, np.array([1.0, 1.5, -0.5]), reduction="sum")
    loss.backward()
    assert math.isnan(loss.item())
    assert np.isnan(y.grad.numpy()).tolist() == [False, True, True]
    y.zero_grad()
    loss = ops.perceptron(y, [1, 0, -1], reduction="sum")
    loss.backward()
    assert math.isnan(loss.item())
    assert np.isnan(y.grad.numpy()).tolist() == [False, True, False]
    with pytest.raises(DTypeError, match=r"perceptron: expected targets -1 and 1; got bool. Use xpnn.where"):
        ops.perceptron(y, [True, False, True])


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("where", ["y", "target"])
def test_nan_reaches_the_gradient_there_and_only_there(name, dtype, where, place):
    target, _ = ELEMENTS[name]
    y, target = np.tile(Y, 20).astype(dtype), np.tile(target, 20).astype(dtype)
    (y if where == "y" else target)[1, 31] = math.nan
    y = xpnn.tensor(y, requires_grad=True)
    loss = call(name, y, target)
    loss.backward()
    assert math.isnan(loss.item())
    assert np.argwhere(np.isnan(y.grad.numpy())).tolist() == [[1, 31]]


def test_perceptron_learns_from_weights_of_zero(place):
    """Rosenblatt's rule w += t x on every mistake, an output of 0 being one: two passes separate AND."""
    x = np.array([[0.0, 0, 1], [0, 1, 1], [1, 0, 1], [1, 1, 1]])
    t = np.array([-1.0, -1, -1, 1])
    w = xpnn.tensor(np.zeros((3, 1)), requires_grad=True)
    by_rule = np.zeros(3)
    for _ in range(10):
        for i in range(4):
            w.zero_grad()
            ops.perceptron((xpnn.tensor(x[i : i + 1]) @ w)[:, 0], t[i : i + 1], reduction="sum").backward()
            w.assign(w.numpy() - w.grad.numpy())
            by_rule += t[i] * x[i] if t[i] * (x[i] @ by_rule) <= 0 else 0
    assert w.numpy()[:, 0].tolist() == by_rule.tolist()
    assert (np.sign(x @ by_rule) == t).all()


def test_numbers_and_lists(place):
    assert ops.mean_squared_error([1.0, 2.0], [0.0, 0.0]).item() == 2.5
    assert ops.l1(xpnn.tensor(np.float64(3.0)), 1.0).item() == 2.0


def test_the_sum_of_many_float32_is_rounded_once():
    with xpnn.use("numba"):
        y = xpnn.tensor(np.full((1 << 20,), 0.1, np.float32))
        exact = math.fsum(float(np.float32(0.1) ** 2) for _ in range(1 << 10)) * 1024
        got = ops.mean_squared_error(y, np.zeros(1 << 20, np.float32), reduction="sum").item()
    assert abs(got - exact) <= np.spacing(np.float32(exact))


def test_non_contiguous_arrays(place):
    y = np.arange(24.0).reshape(4, 6).T[::2]
    x = xpnn.tensor(y, requires_grad=True)
    ops.half_sum_of_squares(x, np.zeros_like(y), reduction="sum").backward()
    np.testing.assert_array_equal(x.grad.numpy(), y)
