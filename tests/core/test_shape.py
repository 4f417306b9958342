"""Tensors in another form: rows, transposed, reshaped, joined."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.errors import ShapeError

from .conftest import f32


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
