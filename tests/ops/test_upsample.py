"""Upsampling: values by hand, NaN and errors; parity and gradients are in tests/generated."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.errors import ConfigError, DTypeError, ShapeError


def image(rows):
    return xpnn.tensor(np.array(rows, np.float32)[None, :, :, None], requires_grad=True)


def test_values_by_hand(place):
    with xpnn.use(place):
        x = image([[0, 4]])
        assert ops.upsample2d(x, 2).numpy()[0, ..., 0].tolist() == [[0, 0, 4, 4], [0, 0, 4, 4]]
        y = ops.upsample2d(x, (1, 2), "bilinear")
        assert y.numpy().ravel().tolist() == [0, 1, 3, 4]
        y.backward(xpnn.tensor(np.array([1, 10, 100, 1000], np.float32).reshape(y.shape)))
        assert x.grad.numpy().ravel().tolist() == [1 + 7.5 + 25, 2.5 + 75 + 1000]


@pytest.mark.parametrize("mode", ["nearest", "bilinear"])
@pytest.mark.parametrize("factor", [1, 2, 3, 5])
def test_nan_stays_near(place, mode, factor):
    reach = factor // 2 if mode == "bilinear" else 0
    with xpnn.use(place):
        for at in range(5):
            values = np.zeros((5, 5))
            values[at, at] = math.nan
            y = ops.upsample2d(image(values), factor, mode).numpy()[0, ..., 0]
            near = slice(max(0, at * factor - reach), (at + 1) * factor + reach)
            expected = np.zeros(y.shape, bool)
            expected[near, near] = True
            np.testing.assert_array_equal(np.isnan(y), expected)


def test_errors():
    x = image([[1, 2]])
    with pytest.raises(ShapeError, match=r"upsample2d: expected x \(N, H, W, C\)"):
        ops.upsample2d(x[0], 2)
    with pytest.raises(ConfigError, match="upsample2d: expected factor >= 1"):
        ops.upsample2d(x, 0)
    with pytest.raises(ConfigError, match="nearest"):
        ops.upsample2d(x, 2, "nearst")
    with pytest.raises(DTypeError, match="upsample2d: expected one floating-point dtype"):
        ops.upsample2d(x.astype("int64"), 2)
