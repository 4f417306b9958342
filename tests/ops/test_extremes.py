"""Numbers at the ends of the range, where a formula overflows although its value does not."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.core import backend
from xpnn.core.op import REGISTRY
from xpnn.ops.activation import ACTIVATIONS

BACKENDS = ("numpy", "numba")


@pytest.mark.parametrize("place", BACKENDS)
def test_clip_norm_of_large_finite_gradients(place):
    g = np.full(4, 1e20, np.float32)
    (clipped, norm), _ = backend.get(place).forward(REGISTRY["clip_norm"], (g,), {"limit": 1.0})
    np.testing.assert_allclose(clipped, 0.5, rtol=1e-6)
    np.testing.assert_allclose(norm, 2e20, rtol=1e-6)


@pytest.mark.parametrize("place", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_slope_of_gelu_far_out(place, dtype):
    values = np.array([-1e30, -1e14, -50, 50, 1e14, 1e30], dtype)
    x = xpnn.tensor(values, backend=place, requires_grad=True)
    with np.errstate(over="ignore"):
        ops.gelu(x).sum().backward()
    assert x.grad is not None
    assert x.grad.numpy().tolist() == [0, 0, 0, 1, 1, 1]


@pytest.mark.parametrize("name", ACTIVATIONS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_activations_far_out_and_where_there_is_no_number(name, dtype):
    """What underflows is 0, so that a large x times it is not a number that counts."""
    edges = [1e-30, 1, 20, 40, 86, 87, 88, 89, 104, 707, 708, 709, 1e30, np.finfo(dtype).max / 4, np.inf]
    values = np.array([np.nan, 0, *edges, *[-v for v in edges]], dtype)
    found = []
    for place in BACKENDS:
        x = xpnn.tensor(values, backend=place, requires_grad=True)
        with np.errstate(all="ignore"):
            y = getattr(ops, name)(x)
            y.sum().backward()
        assert x.grad is not None
        found.append((y.numpy(), x.grad.numpy()))
    for want, got in zip(*found, strict=True):
        rtol, atol = (1e-5, 1e-35) if dtype == "float32" else (1e-12, 1e-250)  # gelu's reference cancels far out
        np.testing.assert_allclose(got, want, rtol, atol)


@pytest.mark.parametrize("place", BACKENDS)
def test_infinity_is_no_nan(place):
    infinite = xpnn.tensor(np.array([np.inf, -np.inf], np.float32), backend=place)
    assert ops.step(infinite).numpy().tolist() == [1, 0]
    for name in ("relu", "sigmoid", "tanh", "leaky_relu", "elu", "softplus", "hard_sigmoid"):
        assert not np.isnan(getattr(ops, name)(infinite).numpy()).any(), name
