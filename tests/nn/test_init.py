"""Initialisers: their statistics, and that a seed means the same weights everywhere."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.core.random import Generator
from xpnn.errors import ConfigError
from xpnn.nn import init

from .conftest import BACKENDS

FANS = {(300, 200): (300, 200), (3, 3, 40, 60): (360, 540), (500,): (1, 500)}


@pytest.mark.parametrize("shape", FANS)
@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("glorot_uniform", lambda i, o: 2 / (i + o)),
        ("glorot_normal", lambda i, o: 2 / (i + o)),
        ("he_uniform", lambda i, o: 2 / i),
        ("he_normal", lambda i, o: 2 / i),
        ("lecun_uniform", lambda i, o: 1 / i),
        ("lecun_normal", lambda i, o: 1 / i),
        ("uniform", lambda i, o: 0.01 / 3),
        ("normal", lambda i, o: 0.0001),
    ],
)
def test_mean_and_variance(name, variance, shape):
    w = init.get(name)(shape, Generator(1))
    assert (w.shape, w.dtype) == (shape, "float64")
    assert init.fans(shape) == FANS[shape]
    expected = variance(*FANS[shape])
    noise = 5 / math.sqrt(w.size)  # five standard errors of the mean
    assert abs(w.mean()) < noise * math.sqrt(expected)
    assert w.var() == pytest.approx(expected, rel=1.5 * noise)
    if "uniform" in name:
        assert abs(w).max() <= math.sqrt(3 * expected)
    else:
        inside = np.mean(abs(w) < math.sqrt(expected))  # 68.27 % of a normal distribution
        assert inside == pytest.approx(0.6827, abs=noise / 2)


@pytest.mark.parametrize("shape", [(20, 20), (30, 10), (10, 30), (3, 3, 4, 6)])
def test_orthogonal(shape):
    w = init.orthogonal(shape, Generator(1)).reshape(-1, shape[-1])
    gram = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    np.testing.assert_allclose(gram, np.eye(len(gram)), atol=1e-12)
    assert (np.diagonal(w) < 0).any()


def test_orthogonal_wants_two_axes():
    with pytest.raises(ConfigError, match=r"orthogonal: expected a shape \(..., I, O\); got \(3,\)$"):
        init.orthogonal((3,), Generator(0))


def test_zeros_and_ones_and_own_functions():
    assert np.all(init.get("zeros")((2, 3), Generator()) == 0)
    assert np.all(init.get("ones")((2, 3), Generator()) == 1)
    layer = nn.Dense(2, 3, init=lambda shape, generator: np.full(shape, 0.5))
    assert np.all(layer.w.numpy() == 0.5)
    w = init.uniform(2.0, 3.0)((1000,), Generator())
    assert 2 <= w.min() < 2.1 < 2.9 < w.max() < 3


@pytest.mark.parametrize(
    ("activation", "name"), [("relu", "he_uniform"), ("silu", "he_uniform"), ("tanh", "glorot_uniform"), (None, None)]
)
def test_the_default_suits_the_activation(activation, name):
    assert nn.Dense(2, 3, activation).init == (name or "glorot_uniform")


# Seeds ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_seed_means_the_same_weights_everywhere(backend):
    def draw(place):
        xpnn.seed(5)
        with xpnn.use(place):
            return nn.Sequential(nn.Dense(4, 3), nn.Dropout(), nn.Dense(3, 2)).state()

    ours, theirs = draw(backend), draw("numpy")
    for name, a in ours.items():
        np.testing.assert_array_equal(a, theirs[name])
    xpnn.seed(6)
    assert not np.array_equal(nn.Dense(4, 3).w.numpy(), ours["layers.0.w"])


def test_two_layers_are_drawn_apart():
    assert not np.array_equal(nn.Dense(4, 3).w.numpy(), nn.Dense(4, 3).w.numpy())
    assert not np.array_equal(nn.Dropout().stream.numpy(), nn.Dropout().stream.numpy())


def test_a_seed_means_the_same_weights_in_another_process():
    code = "import xpnn; xpnn.seed(5); print(xpnn.nn.Dense(4, 3).w.numpy().tobytes().hex())"
    runs = {subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout for _ in range(2)}
    xpnn.seed(5)
    assert runs == {nn.Dense(4, 3).w.numpy().tobytes().hex().encode() + b"\n"}
