"""Recurrent layers: what they hold, how states are handed in, carried along and stepped, and errors.

Gradients are held against finite differences in test_recurrent_gradients.py, everything against PyTorch in
test_recurrent_peers.py.
"""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn, optim
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError, ShapeError

PLACES = ["numpy", "numba"]
LAYERS = [nn.RNN, nn.LSTM, nn.GRU]
N, T, I, H = 4, 6, 3, 5


@pytest.fixture(params=PLACES)
def place(request):
    with xpnn.use(request.param):
        yield request.param


def series(n=N, t=T, seed=0):
    return xpnn.tensor(np.random.default_rng(seed).normal(size=(n, t, I)))


def wide(layer):
    return layer.astype("float64")


def close(a, b, atol=1e-13):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=atol)


# What it holds --------------------------------------------------------------------------------------------------------


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


# States ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_a_sequence_in_pieces_is_the_sequence(kind, place):
    """Values, and with the states left in the graph gradients too."""
    layer, x = wide(kind(I, H, layers=2)), series()
    whole, end = layer(x, layer.initial_state(N))
    (whole * whole).sum().backward()
    expected = {name: p.grad.numpy().copy() for name, p in layer.named_parameters()}
    layer.zero_grad()
    state, pieces = layer.initial_state(N), []
    for part in (x[:, :1], x[:, 1:4], x[:, 4:]):
        y, state = layer(part, state)
        pieces.append(y)
    joined = xpnn.concat(pieces, axis=1)
    close(joined, whole)
    for a, b in zip(sum(state, ()), sum(end, ()), strict=True):
        close(a, b)
    (joined * joined).sum().backward()
    for name, p in layer.named_parameters():
        np.testing.assert_allclose(p.grad.numpy(), expected[name], atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_detached_states_have_the_values_without_the_graph(kind, place):
    """Truncated backpropagation: the gradient of a later piece is that with its first state as a constant."""
    layer, x = wide(kind(I, H)), series()
    _, state = layer(x[:, :4], layer.initial_state(N))
    y, _ = layer(x[:, 4:], state.detach())
    y.sum().backward()
    found = {name: p.grad.numpy().copy() for name, p in layer.named_parameters()}
    layer.zero_grad()
    constant = nn.State(tuple(xpnn.tensor(t.numpy()) for t in part) for part in state)
    layer(x[:, 4:], constant)[0].sum().backward()
    for name, p in layer.named_parameters():
        np.testing.assert_array_equal(p.grad.numpy(), found[name])


@pytest.mark.parametrize("kind", LAYERS)
def test_steps_are_the_sequence(kind, place):
    layer, x = wide(kind(I, H, layers=2)), series()
    whole, end = layer(x, layer.initial_state(N))
    state = None
    for t in range(T):
        y, state = layer.step(x[:, t], state)
        assert y.shape == (N, H)
        close(y, whole[:, t])
    for a, b in zip(sum(state, ()), sum(end, ()), strict=True):
        close(a, b)
    y, _ = layer.step(x[:, 0].numpy())
    close(y, whole[:, 0])
    y, _ = wide(kind(I, H, output="last")).step(x[:, 0])
    assert y.shape == (N, H)


@pytest.mark.parametrize("kind", LAYERS)
def test_encoder_and_decoder_with_unequal_lengths(kind, place):
    """A state that comes out goes into another layer, and its gradient comes back."""
    encoder, decoder = wide(kind(I, H)), wide(kind(I, H))
    x, lengths = series(), [3, 6, 1, 0]
    x.requires_grad = True
    _, state = encoder(x, encoder.initial_state(N), lengths=lengths)
    decoder(series(seed=1), state)[0].sum().backward()
    assert all(np.abs(p.grad.numpy()).max() > 0 for p in encoder.parameters())
    for n, length in enumerate(lengths):
        assert (np.abs(x.grad.numpy()[n]).sum(axis=-1) > 0).tolist() == [t < length for t in range(T)]


# A state that is carried on -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", LAYERS)
def test_a_stateful_layer_goes_on_where_it_ended(kind, place):
    xpnn.seed(5)
    carrying = kind(I, H, layers=2, stateful=N)
    xpnn.seed(5)
    plain = kind(I, H, layers=2)
    x = xpnn.tensor(series().numpy().astype("f4"))
    state = plain.initial_state(N)
    for part in (x[:, :2], x[:, 2:5], x[:, 5:]):
        y, state = plain(part, state.detach())
        z = carrying(part)
        np.testing.assert_array_equal(y.numpy(), z.numpy())
        for model, out in ((plain, y), (carrying, z)):
            model.zero_grad()
            (out * out).sum().backward()
        for a, b in zip(plain.parameters(), carrying.parameters(), strict=True):
            np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
    for slots, tensors in zip(carrying.carried, state, strict=True):
        for slot, t in zip(slots, tensors, strict=True):
            np.testing.assert_array_equal(slot.numpy(), t.numpy())

    first = plain(x[:, :2]).numpy()
    carrying.eval()
    np.testing.assert_array_equal(carrying(x[:, :2]).numpy(), first)  # from zeros, and nothing is changed by it
    np.testing.assert_array_equal(carrying(x[:1, :2]).numpy(), plain(x[:1, :2]).numpy())
    np.testing.assert_array_equal(carrying.carried[1][0].numpy(), state[1][0].numpy())
    carrying.train()
    carrying.reset()
    assert not any(slot.numpy().any() for slots in carrying.carried for slot in slots)
    np.testing.assert_array_equal(carrying(x[:, :2]).numpy(), first)


def test_a_state_of_its_own_leaves_the_carried_one_alone(place):
    layer = nn.LSTM(I, H, stateful=2)
    x = np.ones((2, 3, I), "f4")
    layer(x)
    before = layer.state()
    layer(x, layer.initial_state(2))
    layer.step(x[:, 0])
    assert all(np.array_equal(before[name], value) for name, value in layer.state().items())


def test_the_carried_state_is_kept_and_moved_along():
    layer = nn.GRU(I, H, stateful=2)
    x = np.ones((2, 3, I), "f4")
    layer(x)
    other = nn.GRU(I, H, stateful=2)
    other.load_state(layer.state())
    other.to("numba")
    np.testing.assert_allclose(other(x).numpy(), layer(x).numpy(), atol=1e-6)
    assert {name for name, _ in layer.named_buffers()} == {"carried.0.0"}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_recorded_step_carries_the_state_on(kind):
    """Replayed, a step must read the state that the one before it left, not the one it was recorded with."""
    with xpnn.use("numba"):
        outcomes = []
        for captured in (False, True):
            xpnn.seed(7)
            layer = kind(I, H, layers=2, dropout=0.25, stateful=N)
            model = nn.Sequential(layer, nn.Dense(H, 4))
            optimizer = optim.SGD(model, lr=0.1)

            def step(x, labels, model=model, optimizer=optimizer):
                loss = losses.cross_entropy(model(x), labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                return loss

            run = xpnn.capture(step, strict=True) if captured else step
            found = []
            for i in range(6):
                rng = np.random.default_rng(i)
                x, labels = xpnn.tensor(rng.normal(size=(N, T, I)).astype("f4")), rng.integers(0, 4, (N, T))
                found.append(run(x, xpnn.tensor(labels)).item())
                if i == 3:
                    layer.reset()
            outcomes.append((found, model.state()))
        assert not captured or run.why_not is None
    (losses_a, state_a), (losses_b, state_b) = outcomes
    assert losses_a == losses_b
    for name, value in state_a.items():
        np.testing.assert_array_equal(value, state_b[name], err_msg=name)


def test_the_carried_state_serves_a_model_in_float64(place):
    """The buffer stays float32, as descriptions say."""
    layer = wide(nn.LSTM(I, H, stateful=N))
    x = series()
    y = layer(x[:, :3])
    state = nn.State(tuple(xpnn.tensor(s.numpy().astype("f8")) for s in part) for part in layer.carried)
    close(layer(x[:, 3:]), layer(x[:, 3:], state)[0])
    assert y.dtype == np.float64
    assert nn.describe(layer) is not None


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


def test_rnn_activations():
    assert nn.RNN(3, 4, activation="relu")(np.ones((1, 2, 3))).numpy().min() >= 0
    with pytest.raises(ConfigError, match="rnn: activation 'sigmoid' is unknown"):
        nn.RNN(3, 4, activation="sigmoid")


def test_initial_states_are_zeros_where_the_layer_is():
    layer = wide(nn.LSTM(I, H, layers=2)).to("numba")
    state = layer.initial_state(3)
    assert all(isinstance(t, Tensor) and t.backend is layer.backend for part in state for t in part)
    assert all(t.dtype == np.float64 and not t.numpy().any() for part in state for t in part)
