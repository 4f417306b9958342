"""Arithmetic and comparison of tensors against NumPy: broadcasting, numbers on either side, and what is refused."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xpnn
from xpnn.errors import DTypeError, ShapeError

from .conftest import f32

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARE = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def numbers(shape):
    return hnp.arrays(np.float64, shape, elements=st.floats(0.5, 2.0))


@st.composite
def broadcastable(draw):
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3))
    return tuple(draw(numbers(shape)) for shape in shapes.input_shapes)


# As NumPy has it ------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(broadcastable(), st.sampled_from(ARITHMETIC))
def test_broadcasting_is_numpys(pair, function):
    a, b = pair
    x, y = (xpnn.tensor(v.copy(), requires_grad=True) for v in pair)
    z = function(x, y)
    np.testing.assert_array_equal(z.numpy(), function(a, b))
    assert z.shape == np.broadcast_shapes(a.shape, b.shape)
    z.sum().backward()
    assert x.grad.shape == a.shape
    assert y.grad.shape == b.shape
    h = 1e-6
    for t, plus, minus in ((x, (a + h, b), (a - h, b)), (y, (a, b + h), (a, b - h))):
        slope = (function(*plus) - function(*minus)).sum() / (2 * h)
        np.testing.assert_allclose(t.grad.numpy().sum(), slope, rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(broadcastable(), st.sampled_from(COMPARE))
def test_comparisons_are_numpys(pair, function):
    a, b = (np.round(v) for v in pair)
    result = function(xpnn.tensor(a), xpnn.tensor(b))
    np.testing.assert_array_equal(result.numpy(), function(a, b))
    assert result.dtype == np.dtype(bool)


@pytest.mark.parametrize("function", ARITHMETIC)
@pytest.mark.parametrize(
    "other", [2, 2.5, np.float64(1.7), np.float32(1.5), np.int64(3), np.array(2.0), np.array([1.0, 2.0, 3.0])]
)
def test_numbers_on_either_side(function, other):
    a = np.array([1.0, 2.0, 3.0], np.float32)
    x = f32(*a)
    for ours, theirs in ((function(x, other), function(a, other)), (function(other, x), function(other, a))):
        assert isinstance(ours, xpnn.Tensor)
        assert ours.dtype == np.dtype("float32")
        np.testing.assert_allclose(ours.numpy(), theirs, rtol=1e-6)


@pytest.mark.parametrize("function", COMPARE)
def test_comparison_with_numbers_on_either_side(function):
    a = np.array([1.0, 2.0, 3.0], np.float32)
    for other in (2, 2.0, np.float64(2), np.array([3.0, 2.0, 1.0])):
        np.testing.assert_array_equal(function(f32(*a), other).numpy(), function(a, other))
        np.testing.assert_array_equal(function(other, f32(*a)).numpy(), function(other, a))


def test_numpy_array_times_tensor_has_a_gradient():
    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    y = np.array([[3.0, 4.0], [5.0, 6.0]]) * x
    assert isinstance(y, xpnn.Tensor)
    y.sum().backward()
    assert x.grad.numpy().tolist() == [8, 10]
    z = np.eye(2, dtype="float32") @ x.reshape(2, 1)
    assert isinstance(z, xpnn.Tensor)
    assert z.shape == (2, 1)


def test_power_at_zero():
    x = xpnn.tensor([0.0, 2.0], requires_grad=True)
    (x**2 + x**1 + x**0).sum().backward()
    assert x.grad.numpy().tolist() == [1, 5]
    negative = xpnn.tensor([-2.0], requires_grad=True)
    (negative**3).sum().backward()
    assert negative.grad.numpy().tolist() == [12]


def test_matmul_is_numpys():
    for a, b in (
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((2, 3), (5, 3, 4)),
        ((5, 1, 2, 3), (4, 3, 2)),
        ((0, 3), (3, 2)),
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 4)),
        ((5, 2, 3), (3,)),
        ((3,), (5, 3, 4)),
        ((0,), (0, 2)),
    ):
        x, y = np.random.default_rng(0).random(a), np.random.default_rng(1).random(b)
        t, u = xpnn.tensor(x, requires_grad=True), xpnn.tensor(y, requires_grad=True)
        z = t @ u
        np.testing.assert_allclose(z.numpy(), x @ y)
        z.sum().backward()
        assert (t.grad.shape, u.grad.shape) == (a, b)
    assert (f32(1, 2) @ [3.0, 4.0]).item() == ([3.0, 4.0] @ f32(1, 2)).item() == 11
    for other in (f32(1, 2, 3), xpnn.tensor(2.0), [[1.0, 2.0]]):
        with pytest.raises(ShapeError, match="matmul"):
            f32(1, 2) @ other


# What must not be wrong in silence ------------------------------------------------------------------------------------


def test_bool_and_whole_numbers():
    hits = f32(1, 2, 3) > 1
    with pytest.raises(DTypeError):
        hits * 2
    with pytest.raises(DTypeError):
        hits + hits.astype("int64")


@pytest.mark.parametrize("value", [300, -1])
def test_a_number_that_does_not_fit(value):
    pixels = xpnn.tensor(np.array([1, 2], np.uint8))
    for function in (operator.add, operator.mul, operator.eq):
        with pytest.raises(DTypeError, match="uint8"):
            function(pixels, value)


def test_mixed_dtypes_are_refused():
    for other in (xpnn.tensor([1, 2]), xpnn.tensor(np.array([1.0, 2.0])), np.array([1, 2])):
        with pytest.raises(DTypeError, match=r"astype\(\)"):
            f32(1, 2) + other
    with pytest.raises(DTypeError):
        xpnn.tensor([1, 2]) + 0.5
    with pytest.raises(DTypeError):
        xpnn.tensor([1, 2]) / xpnn.tensor([1, 2])


@pytest.mark.parametrize(
    "expression", [lambda t: -t, lambda t: t - t, abs, lambda t: t.square(), xpnn.sign, xpnn.ops.step]
)
def test_arithmetic_on_bool_is_refused_or_right(expression):
    with pytest.raises(DTypeError):
        expression(xpnn.tensor([True, False]))


def test_a_tensor_is_its_own_truth_only_alone():
    assert f32(1) == f32(1)
    assert not (f32(1) > f32(1))
    with pytest.raises(ShapeError, match="all"):
        bool(f32(1, 2) == f32(1, 2))
