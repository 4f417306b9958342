"""Sequential, Flatten, Activation; and layers that are known by another name elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.errors import ConfigError, ShapeError


def test_sequential():
    layers = [nn.Flatten(), nn.Dense(6, 4, activation="relu"), nn.Dense(4, 2)]
    model = nn.Sequential(*layers)
    assert len(model) == 3
    assert list(model) == layers
    assert model[-1] is layers[2]
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype("float32")
    np.testing.assert_array_equal(model(x).numpy(), layers[2](layers[1](layers[0](x))).numpy())
    assert [name for name, _ in model.named_parameters()] == ["layers.1.w", "layers.1.b", "layers.2.w", "layers.2.b"]
    empty = nn.Sequential()
    assert empty(x).shape == (5, 2, 3)


def test_flatten():
    assert nn.Flatten()(np.ones((4, 2, 3))).shape == (4, 6)
    assert nn.Flatten()(np.ones((4, 2))).shape == (4, 2)
    assert nn.Flatten()(np.ones((0, 2, 3))).shape == (0, 6)
    assert nn.Flatten()(np.ones((4, 0, 3))).shape == (4, 0)
    with pytest.raises(ShapeError, match=r"Flatten: expected x \(N, ...\); got \(3,\)"):
        nn.Flatten()(np.ones(3))


@pytest.mark.parametrize("name", ["step", "relu", "gelu", "softmax", "log_softmax"])
def test_activation_is_the_op(name):
    x = np.random.default_rng(0).normal(size=(3, 4))
    np.testing.assert_array_equal(nn.Activation(name)(x).numpy(), getattr(ops, name)(xpnn.tensor(x)).numpy())


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: nn.Activation("rleu"), "activation 'rleu' is unknown; .*Did you mean 'relu'"),
        (lambda: nn.Sequential(nn.Flatten(), "relu"), "Sequential: expected modules; got str as layer 1"),
    ],
)
def test_settings_that_make_no_sense(make, text):
    with pytest.raises(ConfigError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "hint"), [("Linear", ". Did you mean 'Dense'?"), ("Drop", ". Did you mean 'Dropout'?")]
)
def test_a_layer_of_another_name(name, hint):
    with pytest.raises(AttributeError) as error:
        getattr(nn, name)
    assert str(error.value) == f"module 'xpnn.nn' has no attribute {name!r}{hint}"
    assert not hasattr(nn, "xyz")
