"""Clip and maximum: dtypes, bounds, NaN, and who gets the gradient of a tie."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.errors import DTypeError, ShapeError

from .conftest import f32


def test_clip_keeps_the_dtype():
    assert f32(1, 2).clip(np.float64(1.5), None).dtype == np.dtype("float32")
    assert xpnn.tensor([1, 5]).clip(2, 4).numpy().tolist() == [2, 4]
    with pytest.raises(DTypeError):
        xpnn.tensor([1, 5]).clip(1.5, 4.5)


def test_clip_keeps_nan_and_refuses_a_crossed_range():
    assert np.isnan(f32(np.nan).clip(0.0, 1.0).numpy()).all()
    with pytest.raises(ShapeError):
        f32(1).clip(2.0, 1.0)


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


def test_ties_of_maximum_at_infinity():
    x = xpnn.tensor([np.inf, 1.0], requires_grad=True)
    xpnn.maximum(x, x.detach()).sum().backward()
    assert x.grad.numpy().tolist() == [0.5, 0.5]
