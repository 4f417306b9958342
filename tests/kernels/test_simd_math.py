"""Functions of register tiles, against longer numbers."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn_kernels.numba import simd, simd_math
from xpnn_kernels.numba.jit import kernel

zeros = simd.zeros(3, 1)


@kernel
def both(x, sigmoid, tanh):
    """Fast-math flags and all, as in the kernels."""
    lanes = simd.WIDTH // x.itemsize
    for i in range(0, x.size, lanes):
        v = simd.load(zeros(x), x, i, 0, 1, x.size - i)
        simd.store(simd_math.sigmoid(v), sigmoid, i, 0, 1, x.size - i)
        simd.store(simd_math.tanh(v), tanh, i, 0, 1, x.size - i)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sigmoid_and_tanh(dtype):
    rng = np.random.default_rng(0)
    parts = np.linspace(-80, 80, 40001), rng.standard_normal(20000), rng.standard_normal(999) * 1e-3, [0.0, 1e-30]
    x = np.concatenate(parts).astype(dtype)
    sigmoid, tanh = np.empty_like(x), np.empty_like(x)
    both(x, sigmoid, tanh)
    exact = x.astype(np.longdouble)
    for got, want in ((sigmoid, 1 / (1 + np.exp(-exact))), (tanh, np.tanh(exact))):
        assert (abs(got - want) <= 2 * np.finfo(dtype).eps * abs(want)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_ends_of_the_range(dtype):
    x = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30], dtype)
    sigmoid, tanh = np.empty_like(x), np.empty_like(x)
    both(x, sigmoid, tanh)
    assert np.isnan(sigmoid[0])
    assert np.isnan(tanh[0])
    np.testing.assert_allclose(sigmoid[1:], [1, 0, 1, 0], atol=1e-37)
    np.testing.assert_array_equal(tanh[1:], [1, -1, 1, -1])
