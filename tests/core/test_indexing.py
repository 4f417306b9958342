"""Indexing and taking against NumPy: values, and where the gradient lands."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xpnn
from xpnn.errors import DTypeError, ShapeError


def lands(a, pick):
    """Where NumPy's own view of an index points: the gradient of its sum, weighted."""
    dx = np.zeros(a.shape)
    where = pick(np.arange(a.size).reshape(a.shape))
    weights = np.arange(1.0, np.size(where) + 1).reshape(np.shape(where))
    np.add.at(dx.reshape(-1), where, weights)
    return dx, weights


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_basic_indexing_is_numpys(data):
    shape = data.draw(hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    key = data.draw(hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True))
    a = np.arange(float(np.prod(shape))).reshape(shape)
    x = xpnn.tensor(a.copy(), requires_grad=True)
    y = x[key]
    np.testing.assert_array_equal(y.numpy(), a[key])
    dx, weights = lands(a, lambda at: at[key])
    (y * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), dx)


@pytest.mark.parametrize(
    "key",
    [
        np.s_[::-1],
        np.s_[3:0:-2],
        np.s_[-1],
        np.s_[..., ::-1],
        np.s_[::-2, ::-1],
        np.s_[-3:-1],
        np.s_[10:],
        np.s_[2:1],
        np.s_[np.int64(1)],
    ],
)
def test_keys_people_write(key):
    a = np.arange(20.0).reshape(4, 5)
    x = xpnn.tensor(a.copy(), requires_grad=True)
    y = x[key]
    np.testing.assert_array_equal(y.numpy(), a[key])
    dx, weights = lands(a, lambda at: at[key])
    (y * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), dx)


@pytest.mark.parametrize("key", [4, -5, (0, 5), (0, 0, 0), (..., ...), np.s_[::0]])
def test_keys_outside(key):
    with pytest.raises(ShapeError, match="index"):
        xpnn.tensor(np.zeros((4, 5)))[key]


@pytest.mark.parametrize("key", [True, 1.5, "a", (0, [1]), np.s_["a":]])
def test_keys_that_are_none(key):
    with pytest.raises(DTypeError, match="index"):
        xpnn.tensor(np.zeros((4, 5)))[key]


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_take_is_numpys(data):
    shape = data.draw(hnp.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5))
    axis = data.draw(st.sampled_from(range(-len(shape), len(shape))))
    n = shape[axis]
    indices = data.draw(hnp.arrays(np.int64, st.integers(0, 7), elements=st.integers(-n, n - 1)))
    a = np.arange(float(np.prod(shape))).reshape(shape)
    x = xpnn.tensor(a.copy(), requires_grad=True)
    y = x.take(indices, axis)
    np.testing.assert_array_equal(y.numpy(), np.take(a, indices, axis))
    dx, weights = lands(a, lambda at: np.take(at, indices, axis))
    (y * weights).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), dx)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "uint64"])
def test_take_with_small_indices_from_many_rows(dtype):
    """More rows than the index dtype can count: the gradient still lands once."""
    x = xpnn.tensor(np.zeros((300, 1)), requires_grad=True)
    x.take(np.array([5, 5, 100], dtype)).sum().backward()
    assert x.grad.numpy().sum() == 3
    assert x.grad.numpy()[5] == 2


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64"])
@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_small_labels_among_many_classes(place, dtype):
    logits = np.random.default_rng(0).standard_normal((2, 300))
    labels = np.array([5, 100])
    want = -(logits - np.log(np.exp(logits).sum(1, keepdims=True)))[[0, 1], labels].mean()
    x = xpnn.tensor(logits.copy(), backend=place, requires_grad=True)
    loss = xpnn.ops.cross_entropy(x, labels.astype(dtype))
    np.testing.assert_allclose(loss.item(), want, rtol=1e-12)
    loss.backward()
    assert (x.grad.numpy() < 0).sum() == 2


@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_labels_out_of_range_cannot_pass(place):
    x = xpnn.tensor(np.zeros((3, 4)), backend=place, requires_grad=True)
    for wrong in (4, -1, 200):
        x.zero_grad()
        loss = xpnn.ops.cross_entropy(x, np.array([0, wrong, 1]))
        assert np.isnan(loss.item())
        loss.backward()
        assert np.isnan(x.grad.numpy()[1]).all()


@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_masked_classes_do_not_spoil_the_loss(place):
    """-inf says: this class cannot be. The loss of another label is finite, and so is the gradient."""
    x = xpnn.tensor(np.array([[1.0, -np.inf, 2.0]]), backend=place, requires_grad=True)
    loss = xpnn.ops.cross_entropy(x, np.array([0]))
    np.testing.assert_allclose(loss.item(), np.log(1 + np.e), rtol=1e-12)
    loss.backward()
    assert np.isfinite(x.grad.numpy()).all()


@pytest.mark.parametrize("indices", [[4], [-5], [0, 99]])
@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_take_outside(indices, place):
    x = xpnn.tensor(np.zeros((4, 5)), backend=place)
    for wrong in (indices, np.array(indices), tuple(indices), xpnn.tensor(indices, backend=place)):
        with pytest.raises(ShapeError, match="take: expected indices from -4 to 3; got"):
            x.take(wrong)
    x.take([4], axis=1)


def test_arrays_and_lists_take_rows():
    x = xpnn.tensor(np.arange(6.0).reshape(3, 2))
    for key in ([2, 0], np.array([2, 0]), xpnn.tensor([2, 0])):
        assert x[key].numpy().tolist() == [[4, 5], [0, 1]]
    with pytest.raises(DTypeError):
        x[np.array([True, False, True])]
    with pytest.raises(DTypeError):
        x[[0.5]]
