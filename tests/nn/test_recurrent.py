"""Recurrent layers: what they hold, what comes out of them, and errors.

Their states are handed on in test_recurrent_states.py, gradients held against finite differences in
test_recurrent_gradients.py, everything against PyTorch in test_recurrent_peers.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError, ShapeError

from .sequences import LAYERS, H, I, N, T, close, series, wide

# What they hold -------------------------------------------------------------------------------------------------------


def test_parameters():
    lstm = nn.LSTM(3, 4, layers=2, bidirectional=True)
    shapes = {name: p.shape for name, p in lstm.named_parameters()}
    assert shapes == {
        "w.0": (3, 16),
        "w.1": (3, 16),
        "w.2": (8, 16),
        "w.3": (8, 16),
        **{f"u.{k}": (4, 16) for k in range(4)},
        **{f"b.{k}": (16,) for k in range(4)},
    }
    assert {name: p.decay for name, p in lstm.named_parameters()} == {name: name[0] != "b" for name in shapes}
    assert {p.dtype.name for p in lstm.parameters()} == {"float32"}
    assert [name for name, _ in nn.GRU(3, 4).named_parameters()] == ["w.0", "u.0", "b.0", "bn.0"]
    assert [p.shape for p in nn.GRU(3, 4).parameters()] == [(3, 12), (4, 12), (12,), (4,)]
    assert [p.shape for p in nn.RNN(3, 4).parameters()] == [(3, 4), (4, 4), (4,)]


@pytest.mark.parametrize(("kind", "gates"), [(nn.RNN, 1), (nn.LSTM, 4), (nn.GRU, 3)])
def test_every_gate_is_drawn_on_its_own(kind, gates):
    """u orthogonal, w within Glorot's bound for one gate, and the forget gate open."""
    layer = kind(40, 30)
    bound = np.sqrt(6 / (40 + 30))
    for k in range(gates):
        u = layer.u[0].numpy()[:, 30 * k : 30 * (k + 1)]
        np.testing.assert_allclose(u @ u.T, np.eye(30), atol=1e-5)
        w = layer.w[0].numpy()[:, 30 * k : 30 * (k + 1)]
        assert 0.95 * bound < np.abs(w).max() <= bound
    expected = np.repeat([0, 1, 0, 0], 30) if kind is nn.LSTM else np.zeros(30 * gates)
    np.testing.assert_array_equal(layer.b[0].numpy(), expected)


def test_initial_states_are_zeros_where_the_layer_is():
    layer = wide(nn.LSTM(I, H, layers=2)).to("numba")
    state = layer.initial_state(3)
    assert all(isinstance(t, Tensor) and t.backend is layer.backend for part in state for t in part)
    assert all(t.dtype == np.float64 and not t.numpy().any() for part in state for t in part)


# Calling --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_what_comes_out(kind, place):
    layer = wide(kind(I, H, layers=2, bidirectional=True))
    x, begin = series(), layer.initial_state(N)
    y, state = layer(x, begin)
    assert y.shape == (N, T, 2 * H)
    assert isinstance(state, nn.State)
    assert [[t.shape for t in part] for part in state] == [[(N, H)] * len(layer.carries)] * 4
    close(layer(x), y)
    close(y[:, -1, :H], state[2][0])
    close(y[:, 0, H:], state[3][0])
    assert layer(x.numpy()).shape == y.shape  # arrays are fine too


@pytest.mark.parametrize("kind", LAYERS)
def test_the_last_output_is_that_of_each_sequence(kind, place):
    xpnn.seed(1)
    last = wide(kind(I, H, layers=2, bidirectional=True, output="last"))
    xpnn.seed(1)
    every = wide(kind(I, H, layers=2, bidirectional=True))
    y, z = every(series(), lengths=[6, 2, 0, 1]).numpy(), last(series(), lengths=[6, 2, 0, 1]).numpy()
    np.testing.assert_array_equal(z[:, :H], [y[0, 5, :H], y[1, 1, :H], np.zeros(H), y[3, 0, :H]])
    np.testing.assert_array_equal(z[:, H:], [y[0, 0, H:], y[1, 0, H:], np.zeros(H), y[3, 0, H:]])


def test_in_a_sequential(place):
    many = nn.Sequential(nn.LSTM(I, H, layers=2), nn.GRU(H, H), nn.Dense(H, 7))
    one = nn.Sequential(nn.RNN(I, H), nn.GRU(H, H, output="last"), nn.Dense(H, 7))
    x = series().numpy()
    assert many(x).shape == (N, T, 7)
    assert one(x).shape == (N, 7)
    loss = losses.cross_entropy(many(x), np.zeros((N, T), int)) + losses.cross_entropy(one(x), np.zeros(N, int))
    loss.backward()
    assert all(p.grad is not None for model in (many, one) for p in model.parameters())


def test_dropout_is_between_the_layers_in_training(place):
    xpnn.seed(2)
    layer = nn.LSTM(I, H, layers=2, dropout=0.5)
    x = xpnn.tensor(series().numpy().astype("f4"))
    first, second = layer(x).numpy(), layer(x).numpy()
    assert not np.array_equal(first, second)
    layer.eval()
    np.testing.assert_array_equal(layer(x).numpy(), layer(x).numpy())
    xpnn.seed(2)
    np.testing.assert_array_equal(nn.LSTM(I, H, layers=2, dropout=0.5)(x).numpy(), first)


def test_rnn_activations():
    assert nn.RNN(3, 4, activation="relu")(np.ones((1, 2, 3))).numpy().min() >= 0
    with pytest.raises(ConfigError, match="rnn: activation 'sigmoid' is unknown"):
        nn.RNN(3, 4, activation="sigmoid")


# Errors ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"in_features": 0}, "expected in_features as a whole number >= 1; got 0"),
        ({"hidden": 2.0}, "expected hidden as a whole number >= 1; got 2.0"),
        ({"layers": 0}, "expected layers as a whole number >= 1; got 0"),
        ({"layers": 10**9}, "expected at most 256 layers"),
        ({"layers": "2"}, "expected layers as a whole number >= 1; got '2'"),
        ({"bidirectional": 1}, "expected bidirectional as True or False; got 1"),
        ({"dropout": 1.0, "layers": 2}, "expected dropout from 0 up to 1; got 1.0"),
        ({"dropout": "a"}, "expected dropout from 0 up to 1; got 'a'"),
        ({"dropout": 0.5}, "dropout is between layers, and there is one. Put nn.Dropout after it"),
        ({"output": "first"}, "expected output 'all' or 'last'; got 'first'"),
        ({"stateful": True}, "expected stateful as a whole number >= 0; got True"),
        ({"stateful": 2, "bidirectional": True}, "a state that is carried on has one direction"),
    ],
)
@pytest.mark.parametrize("kind", LAYERS)
def test_settings_out_of_range(kind, settings, message):
    settings = {"in_features": 3, "hidden": 4} | settings
    with pytest.raises(ConfigError) as caught:
        kind(**settings)
    assert f"{kind.__name__}: {message}" in str(caught.value)
    with pytest.raises(ConfigError):
        nn.build({"type": kind.__name__, **settings})


@pytest.mark.parametrize("kind", LAYERS)
def test_calls_that_make_no_sense(kind):
    name, layer = kind.__name__, kind(I, H)
    with pytest.raises(ShapeError, match=rf"{name}: expected x \(N, T, 3\); got \(4, 3\)"):
        layer(np.ones((N, I)))
    with pytest.raises(ShapeError, match=rf"{name}: expected x \(N, T, 3\); got \(4, 6, 2\)"):
        layer(np.ones((N, T, 2)))
    with pytest.raises(ShapeError, match=f"{name}: expected a state of 1 parts"):
        layer(np.ones((N, T, I)), kind(I, H, layers=2).initial_state(N))
    with pytest.raises(ShapeError, match=r"expected h0 \(4, 5\)"):
        layer(np.ones((N, T, I)), layer.initial_state(N + 1))
    with pytest.raises(ShapeError, match="expected lengths from 0 to 6"):
        layer(np.ones((N, T, I)), lengths=[7, 1, 1, 1])
    with pytest.raises(ShapeError, match=rf"{name}.step: expected x \(N, 3\)"):
        layer.step(np.ones((N, T, I)))
    with pytest.raises(ConfigError, match=f"{name}.step: expected one direction"):
        kind(I, H, bidirectional=True).step(np.ones((N, I)))
    with pytest.raises(ShapeError, match=f"{name}: expected batches of 3 sequences, whose state is carried on; got 4"):
        kind(I, H, stateful=3)(np.ones((N, T, I)))
