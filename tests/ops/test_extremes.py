"""Numbers at the ends of the range, where a formula overflows although its value does not."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.core import backend
from xpnn.core.op import REGISTRY

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
