"""Layers and initialisers: shapes, statistics, masks, what they refuse."""

import math
import subprocess
import sys

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.core import backend as backends
from xpnn.core.random import Generator
from xpnn.errors import ConfigError, ShapeError
from xpnn.nn import init

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]

# Dense ----------------------------------------------------------------------------------------------------------------


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
        (lambda: nn.Dropout(1.0), "Dropout: expected a rate from 0 up to 1; got 1.0"),
        (lambda: nn.Dropout(-0.1), "Dropout: expected a rate from 0 up to 1; got -0.1"),
        (lambda: nn.Dropout(math.nan), "Dropout: expected a rate from 0 up to 1; got nan"),
        (lambda: nn.Activation("rleu"), "activation 'rleu' is unknown; .*Did you mean 'relu'"),
        (lambda: nn.Sequential(nn.Flatten(), "relu"), "Sequential: expected modules; got str as layer 1"),
        (lambda: init.orthogonal((3,), Generator(0)), r"orthogonal: expected a shape \(..., I, O\); got \(3,\)"),
    ],
)
def test_settings_that_make_no_sense(make, text):
    with pytest.raises(ConfigError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)


# Initialisers ---------------------------------------------------------------------------------------------------------

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


# Sequential, Flatten, Activation --------------------------------------------------------------------------------------


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


# Dropout --------------------------------------------------------------------------------------------------------------


def masks(backend, calls, rate=0.3, shape=(7, 9)):
    """What a Dropout of a fixed seed keeps, call by call."""
    xpnn.seed(11)
    with xpnn.use(backend):
        layer = nn.Dropout(rate)
        return [layer(xpnn.tensor(np.ones(shape, "float32"))).numpy().copy() for _ in range(calls)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_are_the_same_on_every_backend(backend):
    for ours, theirs in zip(masks(backend, 4), masks("numpy", 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_call_has_a_mask_of_its_own(backend):
    drawn = masks(backend, 6)
    assert len({a.tobytes() for a in drawn}) == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_keeps_the_mean(backend):
    (y,) = masks(backend, 1, rate=0.3, shape=(200, 200))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.012)


def test_two_layers_drop_differently():
    x = np.ones((10, 10), "float32")
    first, second = nn.Dropout(), nn.Dropout()
    assert not np.array_equal(first(x).numpy(), second(x).numpy())


def test_evaluation_and_rate_zero_pass_through_and_draw_nothing():
    x = xpnn.tensor(np.ones((3, 4), "float32"))
    for layer in (nn.Dropout(0.5).eval(), nn.Dropout(0.0)):
        before = layer.stream.numpy().copy()
        assert layer(x) is x
        np.testing.assert_array_equal(layer.stream.numpy(), before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_is_dropped_with_the_same_mask(backend):
    with xpnn.use(backend):
        x = xpnn.tensor(np.ones((5, 6)), requires_grad=True)
        layer = nn.Dropout(0.5)
        y = layer(x)
        layer(x)  # a later draw must not change what the first call kept
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_masks_go_on_from_a_state_and_over_a_move():
    layer = nn.Dropout(0.5)
    x = np.ones((4, 4), "float32")
    layer(x)
    state = layer.state()
    expected = [layer(x).numpy().copy() for _ in range(4)]
    again = nn.Dropout(0.5)
    again.load_state(state)
    for i, mask in enumerate(expected):
        again.to(BACKENDS[i % len(BACKENDS)])
        np.testing.assert_array_equal(again(xpnn.tensor(x, backend=again.stream.backend)).numpy(), mask)


@pytest.mark.parametrize(
    ("name", "hint"), [("Linear", ". Did you mean 'Dense'?"), ("Drop", ". Did you mean 'Dropout'?")]
)
def test_a_layer_of_another_name(name, hint):
    with pytest.raises(AttributeError) as error:
        getattr(nn, name)
    assert str(error.value) == f"module 'xpnn.nn' has no attribute {name!r}{hint}"
    assert not hasattr(nn, "xyz")
