"""Reductions against NumPy: every axis, whole numbers and bool."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import xpnn
from xpnn.errors import ShapeError

from .conftest import f32


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


def test_counting_with_sum():
    """The number of hits, not whether there is one."""
    hits = f32(1, 2, 3) > 1
    assert hits.sum().item() == 2
    assert hits.sum(0).dtype == np.dtype("int64")


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32"])
def test_sums_of_small_integers_do_not_wrap(dtype):
    assert xpnn.tensor(np.full(1000, 100, dtype)).sum().item() == 100_000


@pytest.mark.parametrize("axis", [np.int64(1), -1, (1,), (np.int64(1),), [1]])
def test_axes_of_every_type(axis):
    assert f32([1, 2], [3, 4]).sum(axis).numpy().tolist() == [3, 7]


@pytest.mark.parametrize("axis", [2, -3, (0, 0), (0, -2)])
def test_axes_there_are_none_of(axis):
    with pytest.raises(ShapeError, match="axes"):
        f32([1, 2], [3, 4]).sum(axis)
