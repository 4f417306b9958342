"""Spatial dropout: whole channels, one mask on every backend."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.core.random import bits, state_of
from xpnn.errors import ConfigError, DTypeError, ShapeError
from xpnn.ops.dropout import threshold

from .conftest import BACKENDS


@pytest.mark.parametrize("place", BACKENDS)
@pytest.mark.parametrize("shape", [(5, 4, 3, 8), (5, 7, 8), (5, 8)])
def test_a_channel_stays_or_goes_as_a_whole(place, shape):
    with xpnn.use(place):
        layer = nn.SpatialDropout(0.4)
        layer.stream.assign(state_of(3))
        x = xpnn.tensor(np.ones(shape, np.float32), requires_grad=True)
        y = layer(x)
        kept = bits(np, state_of(3), 40).reshape(5, *[1] * (len(shape) - 2), 8) >= threshold(0.4)
        want = np.broadcast_to(kept / np.float32(0.6), shape)
        np.testing.assert_allclose(y.numpy(), want, rtol=1e-6)
        y.sum().backward()
        np.testing.assert_allclose(x.grad.numpy(), want, rtol=1e-6)
        assert (layer(x).numpy() != y.numpy()).any()  # another mask at every call
        layer.eval()
        assert layer(x) is x


def test_nan_stays():
    assert np.isnan(nn.SpatialDropout(0.5)(np.full((2, 3, 9), math.nan)).numpy()).all()


def test_errors():
    with pytest.raises(ConfigError, match="SpatialDropout: expected a rate from 0 up to 1; got 1.0"):
        nn.SpatialDropout(1.0)
    with pytest.raises(ShapeError, match=r"SpatialDropout: expected x \(N, ..., C\); got \(3,\)"):
        nn.SpatialDropout()(xpnn.tensor([1.0, 2.0, 3.0]))
    with pytest.raises(DTypeError, match="SpatialDropout: expected one floating-point dtype"):
        nn.SpatialDropout()(xpnn.tensor([[1, 2]]))
