"""max, min, maximum and minimum where something is no number: what came from it is none either, and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn

ROWS = [[1, 2, 3], [4, np.nan, 5], [7, 7, -np.inf], [np.inf, 2, np.nan], [np.nan] * 3]


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_gradient_of_an_extremum_that_is_no_number(place, name, dtype):
    """NaN for all that it was taken of; the others share theirs between equals."""
    x = xpnn.tensor(np.array(ROWS, dtype), requires_grad=True)
    y = getattr(x, name)(axis=1)
    y.backward(xpnn.tensor(np.array([2, 1, 3, 1, 1], dtype)))
    assert np.isnan(y.numpy()).tolist() == [False, True, False, True, True]
    largest, smallest = ([0, 0, 2], [1.5, 1.5, 0]), ([2, 0, 0], [0, 0, 3])
    found = x.grad.numpy()
    assert found[[0, 2]].tolist() == [*(largest if name == "max" else smallest)]
    assert np.isnan(found[[1, 3, 4]]).all()


@pytest.mark.parametrize("name", ["max", "min"])
@pytest.mark.parametrize(("axis", "good"), [(0, [[False, True]] * 3), (None, [[False, False]] * 3)])
def test_along_other_axes(place, name, axis, good):
    x = xpnn.tensor(np.array([[1, 2], [np.nan, 3], [4, 5]], np.float32), requires_grad=True)
    getattr(x, name)(axis=axis).sum().backward()
    assert (~np.isnan(x.grad.numpy())).tolist() == good


@pytest.mark.parametrize("name", ["maximum", "minimum"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_of_two_where_one_is_no_number(place, name, dtype):
    """Both, whichever it was; a tie is halved."""
    x, y = (
        xpnn.tensor(np.array(values, dtype), requires_grad=True)
        for values in ([1, np.nan, 3, np.nan, 2, np.inf, np.nan], [2, 2, np.nan, np.nan, 2, 1, -np.inf])
    )
    z = getattr(xpnn, name)(x, y)
    z.backward(xpnn.tensor(np.full(7, 2, dtype)))
    nan = [False, True, True, True, False, False, True]
    dx, dy = x.grad.numpy(), y.grad.numpy()
    assert np.isnan(z.numpy()).tolist() == np.isnan(dx).tolist() == np.isnan(dy).tolist() == nan
    first, second = dx[[0, 4, 5]].tolist(), dy[[0, 4, 5]].tolist()
    assert [first, second] == ([[0, 1, 2], [2, 1, 0]] if name == "maximum" else [[2, 1, 0], [0, 1, 2]])


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_number_beside_many_of_which_one_is_none(place, name):
    """Its gradient is a sum over all of them."""
    x = xpnn.tensor(np.array([[1, 5], [np.nan, 5]], np.float32), requires_grad=True)
    line = xpnn.tensor(np.array([3, 3], np.float32), requires_grad=True)
    getattr(xpnn, name)(x, line).sum().backward()
    assert np.isnan(line.grad.numpy()).tolist() == [True, False]
    assert np.isnan(x.grad.numpy()).tolist() == [[False, False], [True, False]]
