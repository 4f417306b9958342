"""Dense: its formula, its parameters, what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.errors import ConfigError

from .conftest import BACKENDS


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("activation", [None, "relu", "sigmoid", "step"])
def test_dense_is_its_formula(backend, activation):
    with xpnn.use(backend):
        layer = nn.Dense(3, 4, activation).astype("float64")
        x = np.random.default_rng(0).normal(size=(5, 3))
        z = x @ layer.w.numpy() + layer.b.numpy()
        expected = {
            None: z,
            "relu": np.maximum(z, 0),
            "sigmoid": 1 / (1 + np.exp(-z)),
            "step": (z >= 0).astype("float64"),
        }[activation]
        np.testing.assert_allclose(layer(xpnn.tensor(x)).numpy(), expected, rtol=1e-13)


def test_dense_takes_any_number_of_leading_axes():
    layer = nn.Dense(3, 4)
    assert layer(np.ones(3)).shape == (4,)
    assert layer(np.ones((2, 5, 3))).shape == (2, 5, 4)
    assert layer(np.ones((0, 3))).shape == (0, 4)


def test_dense_parameters():
    xpnn.seed(0)  # of other weights the sum may nearly cancel
    layer = nn.Dense(3, 4)
    assert (layer.w.shape, layer.b.shape) == ((3, 4), (4,))
    assert (layer.w.dtype, layer.b.dtype) == ("float32", "float32")
    assert (layer.w.decay, layer.b.decay) == (True, False)
    assert np.all(layer.b.numpy() == 0)
    plain = nn.Dense(3, 4, bias=False)
    assert plain.b is None
    assert [name for name, _ in plain.named_parameters()] == ["w"]
    np.testing.assert_allclose(plain([[1.0, 2.0, 3.0]]).numpy(), [[1.0, 2.0, 3.0]] @ plain.w.numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Dense(0, 3), "Dense: expected at least one input and output, whole numbers; got 0, 3"),
        (lambda: nn.Dense(3, -1), "Dense: expected at least one input and output, whole numbers; got 3, -1"),
        (lambda: nn.Dense(3, 4, "rleu"), "activation 'rleu' is unknown"),
        (lambda: nn.Dense(3, 4, "softmax"), "activation 'softmax' is unknown"),
        (lambda: nn.Dense(3, 4, init="he_normel"), "initialiser 'he_normel' is unknown.* Did you mean 'he_normal'?"),
    ],
)
def test_settings_that_make_no_sense(make, text):
    with pytest.raises(ConfigError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)
