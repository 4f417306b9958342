"""The methods of a Tensor against NumPy: broadcasting, scalars, odd shapes, dtypes, and what must be refused."""

from __future__ import annotations

import operator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xpnn
from xpnn.errors import DTypeError, ShapeError, XpnnError

ARITHMETIC = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]
COMPARE = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


def f32(*values):
    return xpnn.tensor(np.array(values, np.float32))


def numbers(shape):
    return hnp.arrays(np.float64, shape, elements=st.floats(0.5, 2.0))


@st.composite
def broadcastable(draw):
    shapes = draw(hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, min_side=0, max_side=3))
    return tuple(draw(numbers(shape)) for shape in shapes.input_shapes)


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


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_reductions_are_numpys(data):
    a = data.draw(
        hnp.arrays(np.float64, hnp.array_shapes(min_dims=0, max_dims=4, max_side=3), elements=st.floats(-2, 2))
    )
    axis = data.draw(st.none() | st.sampled_from(range(-a.ndim, a.ndim)) if a.ndim else st.none())
    keepdims = data.draw(st.booleans())
    name = data.draw(st.sampled_from(["sum", "mean", "max", "min", "var"]))
    x = xpnn.tensor(a.copy(), requires_grad=True)
    y = getattr(x, name)(axis, keepdims)
    want = getattr(np, name)(a, axis=axis, keepdims=keepdims)
    np.testing.assert_allclose(y.numpy(), want, rtol=1e-13, atol=1e-13)
    assert y.shape == np.shape(want)
    y.sum().backward()
    assert x.grad.shape == a.shape
    if name in ("max", "min", "mean"):  # whatever is gathered in one place has been handed out in shares
        np.testing.assert_allclose(x.grad.numpy().sum(), y.size, rtol=1e-12)


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


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (0, 3), (1, 1, 1)])
def test_odd_shapes_go_through_everything(shape):
    a = np.full(shape, 1.5)
    x = xpnn.tensor(a.copy(), requires_grad=True)
    results = [
        x + x,
        x * 2,
        x**2,
        x.exp(),
        x.log(),
        x.sqrt(),
        abs(x),
        -x,
        x.clip(0.0, 1.0),
        x.reshape(-1) if a.size else x,
    ]
    results += [xpnn.where(x > 1, x, 0.0), xpnn.maximum(x, 1.0), x.astype("float32"), x.transpose(), x[...], x[None]]
    results += [xpnn.ops.relu(x), xpnn.ops.gelu(x)]
    for y in results:
        x.zero_grad()
        assert isinstance(y.numpy(), np.ndarray)
        y.sum().backward(retain_graph=True)
        assert x.grad.shape == shape
    x.zero_grad()
    x.sum().backward()
    assert x.grad.numpy().tolist() == np.ones(shape).tolist()


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("N", [0, 1])
def test_a_batch_of_no_samples(name, N):
    x = xpnn.tensor(np.ones((N, 3)), backend=name, requires_grad=True)
    w = xpnn.tensor(np.ones((3, 2)), backend=name, requires_grad=True)
    b = xpnn.tensor(np.ones(2), backend=name, requires_grad=True)
    for activation in (None, "relu", "gelu"):
        y = xpnn.ops.dense(x, w, b, activation)
        assert y.shape == (N, 2)
        y.sum().backward()
        assert x.grad.shape == (N, 3)
        assert w.grad.shape == (3, 2)
        w.zero_grad()
    assert xpnn.ops.softmax(x).shape == (N, 3)
    (x @ w).sum().backward()
    x.take(np.zeros(0, np.int64)).sum().backward()


def test_no_outputs_or_inputs_at_all():
    x, w = xpnn.tensor(np.ones((4, 0)), requires_grad=True), xpnn.tensor(np.ones((0, 2)), requires_grad=True)
    y = xpnn.ops.dense(x, w)
    assert y.numpy().tolist() == [[0, 0]] * 4
    y.sum().backward()
    assert w.grad.shape == (0, 2)
    v = xpnn.tensor(np.ones((3, 0)), requires_grad=True)
    y = xpnn.ops.dense(np.ones((4, 3)), v)
    y.sum().backward()
    assert v.grad.shape == (3, 0)


# What must not be wrong in silence ------------------------------------------------------------------------------


def test_counting_with_sum():
    """The number of hits, not whether there is one."""
    hits = f32(1, 2, 3) > 1
    assert hits.sum().item() == 2
    assert hits.sum(0).dtype == np.dtype("int64")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_sums_of_small_integers_do_not_wrap(dtype):
    assert xpnn.tensor(np.full(1000, 100, dtype)).sum().item() == 100_000


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


def test_clip_keeps_the_dtype():
    assert f32(1, 2).clip(np.float64(1.5), None).dtype == np.dtype("float32")
    assert xpnn.tensor([1, 5]).clip(2, 4).numpy().tolist() == [2, 4]
    with pytest.raises(DTypeError):
        xpnn.tensor([1, 5]).clip(1.5, 4.5)


def test_clip_keeps_nan_and_refuses_a_crossed_range():
    assert np.isnan(f32(np.nan).clip(0.0, 1.0).numpy()).all()
    with pytest.raises(ShapeError):
        f32(1).clip(2.0, 1.0)


def test_infinity_is_no_nan():
    infinite = f32(np.inf, -np.inf)
    assert xpnn.ops.step(infinite).numpy().tolist() == [1, 0]
    for name in ("relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus", "hard_sigmoid"):
        for place in ("numpy", "numba"):
            y = getattr(xpnn.ops, name)(xpnn.tensor(infinite, backend=place)).numpy()
            assert not np.isnan(y).any(), (name, place)


def test_ties_of_maximum_at_infinity():
    x = xpnn.tensor([np.inf, 1.0], requires_grad=True)
    xpnn.maximum(x, x.detach()).sum().backward()
    assert x.grad.numpy().tolist() == [0.5, 0.5]


def test_a_tensor_is_its_own_truth_only_alone():
    assert f32(1) == f32(1)
    assert not (f32(1) > f32(1))
    with pytest.raises(ShapeError, match="all"):
        bool(f32(1, 2) == f32(1, 2))


def test_iteration_and_length():
    x = xpnn.tensor(np.arange(6.0).reshape(3, 2), requires_grad=True)
    rows = list(x)
    assert [row.numpy().tolist() for row in rows] == [[0, 1], [2, 3], [4, 5]]
    a, b, c = x
    (a * b * c).sum().backward()
    assert x.grad.numpy().tolist() == [[8, 15], [0, 5], [0, 3]]
    assert len(x) == 3
    with pytest.raises(ShapeError):
        len(xpnn.tensor(1.0))
    with pytest.raises(ShapeError):
        list(xpnn.tensor(1.0))


def test_power_at_zero():
    x = xpnn.tensor([0.0, 2.0], requires_grad=True)
    (x**2 + x**1 + x**0).sum().backward()
    assert x.grad.numpy().tolist() == [1, 5]
    negative = xpnn.tensor([-2.0], requires_grad=True)
    (negative**3).sum().backward()
    assert negative.grad.numpy().tolist() == [12]


def test_a_new_tensor_from_a_tensor_is_apart_from_it():
    x = f32(1, 2)
    y = xpnn.tensor(x)
    x.data[0] = 99
    assert y.numpy().tolist() == [1, 2]


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
def test_a_new_tensor_from_an_array_is_apart_from_it(place, dtype):
    a = np.arange(6, dtype="float32").reshape(2, 3)
    for source in (a, a.T, memoryview(a), xpnn.tensor(a).detach()):
        before = np.asarray(source).tolist()
        x = xpnn.tensor(source, dtype, place)
        assert not np.shares_memory(x.data, source.data if isinstance(source, xpnn.Tensor) else source)
        assert x.data.flags.c_contiguous
        x.assign(np.zeros(x.shape))
        assert np.asarray(source).tolist() == before


def test_clip_of_whole_and_other_numbers():
    """0 and 0.0 are one key of a dictionary: what was found out for one must not serve the other."""
    whole, other = xpnn.tensor([-1, 5]), f32(-1.5, 5)
    for _ in range(2):
        assert whole.clip(0, 2).numpy().tolist() == [0, 2]
        with pytest.raises(DTypeError, match="whole numbers"):
            whole.clip(0.0, 2.0)
        for bounds in ((0, 2), (0.0, 2.0), (False, np.int64(2)), (np.float32(0), np.array([2]))):
            y = other.clip(*bounds)
            assert (y.numpy().tolist(), y.dtype) == ([0, 2], np.dtype("float32"))
    for wrong in ("0", other, [0, 1]):
        with pytest.raises(DTypeError, match="clip: expected numbers as bounds"):
            other.clip(wrong)


def test_one_value_as_a_number_of_python():
    assert float(f32(2.5)[0]) == 2.5
    assert int(f32(2.5)) == 2
    assert [10, 20, 30][xpnn.tensor(1)] == 20
    for convert in (float, int, xpnn.Tensor.item):
        with pytest.raises(ShapeError, match="item: expected one element"):
            convert(f32(1, 2))
    with pytest.raises(DTypeError, match="whole number"):
        [10, 20][f32(1)]


def test_numbers_and_lists():
    assert xpnn.tensor([1.5, 2]).dtype == np.dtype("float32")
    assert xpnn.tensor([1, 2]).dtype == np.dtype("int64")
    assert xpnn.tensor(np.array([1.5])).dtype == np.dtype("float64")
    assert xpnn.tensor(np.array([1.5], ">f4")).dtype == np.dtype("float32")
    assert xpnn.tensor(np.array([1.5], ">f4")).item() == 1.5
    for wrong in ("abc", [None], [[1], [2, 3]], [1 + 2j], object()):
        with pytest.raises((DTypeError, ShapeError)):
            xpnn.tensor(wrong)
    with pytest.raises(DTypeError):
        xpnn.tensor([1, 2], requires_grad=True)


def test_numpy_refuses_a_tensor_with_a_graph():
    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(XpnnError, match=r"\.numpy\(\)"):
        np.asarray(x * 2)
    assert np.asarray(xpnn.tensor([1.0, 2.0])).tolist() == [1, 2]


def test_read_only_arrays_are_copied():
    a = np.array([1.0, 2.0])
    a.flags.writeable = False
    assert xpnn.tensor(a).data.flags.writeable


@pytest.mark.parametrize("axis", [np.int64(1), -1, (1,), (np.int64(1),), [1]])
def test_axes_of_every_type(axis):
    assert f32([1, 2], [3, 4]).sum(axis).numpy().tolist() == [3, 7]


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2)])
def test_axes_there_are_none_of(axis):
    with pytest.raises(ShapeError, match="axes"):
        f32([1, 2], [3, 4]).sum(axis)


@pytest.mark.parametrize("order", [(1, 0), ((1, 0),), ([1, 0],), (-1, -2), (-1, 0)])
def test_transpose_of_every_form(order):
    assert f32([1, 2], [3, 4]).transpose(*order).numpy().tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize("order", [(0,), (0, 0), (0, 2), (0, 1, 2)])
def test_transpose_of_wrong_axes(order):
    with pytest.raises(ShapeError, match="permutation"):
        f32([1, 2], [3, 4]).transpose(*order)


@pytest.mark.parametrize("shape", [(3, -1), (-1, -1), (5,), (-2, -2), (0, -1), (-4,)])
def test_reshape_that_does_not_fit(shape):
    with pytest.raises(ShapeError, match="reshape"):
        f32([1, 2], [3, 4]).reshape(*shape)


def test_concat_and_stack():
    x = xpnn.tensor(np.arange(4.0).reshape(2, 2), requires_grad=True)
    a = x.numpy()
    np.testing.assert_array_equal(xpnn.concat([x, x], axis=-1).numpy(), np.concatenate([a, a], -1))
    for axis in (0, 1, 2, -1):
        np.testing.assert_array_equal(xpnn.stack([x, a, x * 2], axis=axis).numpy(), np.stack([a, a, a * 2], axis))
    (xpnn.stack([x, x * 2]) * np.array([1.0, 10.0]).reshape(2, 1, 1)).sum().backward()
    assert x.grad.numpy().tolist() == [[21, 21], [21, 21]]
    with pytest.raises(ShapeError):
        xpnn.stack([x, x[0]])
    with pytest.raises(ShapeError):
        xpnn.concat([])
    assert xpnn.concat([[1.0, 2.0], [3.0]]).numpy().tolist() == [1, 2, 3]
    assert xpnn.stack([[1.0, 2.0], (3.0, 4.0)]).numpy().tolist() == [[1, 2], [3, 4]]
    assert xpnn.concat(x).numpy().tolist() == [0, 1, 2, 3]
    assert xpnn.concat([[[9.0, 9.0]], x]).dtype == x.dtype


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
