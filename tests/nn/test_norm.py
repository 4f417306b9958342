"""Normalisation layers: running statistics, modes, dtypes, what a file keeps, what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.errors import ConfigError, ShapeError

BACKENDS = ("numpy", "numba")
X = np.random.default_rng(0).normal(3, 2, (4, 5, 6, 3)).astype(np.float32)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_running_statistics(backend, dtype):
    with xpnn.use(backend):
        layer = nn.BatchNorm(3, momentum=0.25).astype(dtype)
        y = layer(X).numpy()
        assert y.dtype == dtype
        np.testing.assert_allclose(y.mean((0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(y.std((0, 1, 2)), 1, atol=1e-4)
        mean, var = X.mean((0, 1, 2)), X.var((0, 1, 2), ddof=1)
        np.testing.assert_allclose(layer.running_mean.numpy(), 0.25 * mean, rtol=1e-5)
        np.testing.assert_allclose(layer.running_var.numpy(), 0.75 + 0.25 * var, rtol=1e-5)
        before = layer.state()
        expected = (X - 0.25 * mean) / np.sqrt(0.75 + 0.25 * var + 1e-5)
        np.testing.assert_allclose(layer.eval()(X).numpy(), expected, rtol=1e-4, atol=1e-5)
        assert all(np.array_equal(a, before[name]) for name, a in layer.state().items())  # evaluation changes nothing


def test_what_a_file_keeps_and_a_backend_takes_along(tmp_path):
    model = nn.Sequential(nn.BatchNorm(3), nn.Flatten())
    model(X)
    again = xpnn.load(xpnn.save(model, tmp_path / "model.safetensors"))
    for name, a in model.state().items():
        np.testing.assert_array_equal(again.state()[name], a)
    again.to("numba")
    assert again[0].running_mean.backend.name == "numba"
    np.testing.assert_allclose(again.eval()(X).numpy(), model.eval()(X).numpy(), rtol=1e-5, atol=1e-5)


def test_gains_and_biases_do_not_decay():
    for layer in (nn.BatchNorm(4), nn.LayerNorm(4), nn.GroupNorm(4, 2)):
        assert not any(p.decay for p in layer.parameters())


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: nn.BatchNorm(0), ConfigError, "BatchNorm: expected features >= 1; got 0"),
        (lambda: nn.BatchNorm(3, momentum=2), ConfigError, "BatchNorm: expected momentum from 0 to 1; got 2"),
        (lambda: nn.LayerNorm(3, eps=0), ConfigError, "LayerNorm: expected eps above 0 and below 1; got 0"),
        (lambda: nn.GroupNorm(6, 4), ConfigError, "GroupNorm: expected groups that divide the 6 channels; got 4"),
        (lambda: nn.BatchNorm(3)(np.ones((1, 3), np.float32)), ShapeError, "several values in each channel"),
        (lambda: nn.LayerNorm(3)(np.ones((2, 4), np.float32)), ShapeError, r"LayerNorm: expected x \(..., 3\)"),
        (lambda: nn.GroupNorm(4, 2)(np.ones(4, np.float32)), ShapeError, r"group_norm: expected x \(N, ..., C\)"),
    ],
)
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_one_value_a_channel_can_be_evaluated():
    assert nn.BatchNorm(3).eval()(np.ones((1, 3), np.float32)).shape == (1, 3)
