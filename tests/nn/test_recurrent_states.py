"""The states of recurrent layers: handed in and out, stepped, and carried on from batch to batch."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn, optim

from .sequences import LAYERS, H, I, N, T, close, series, wide

# Handed in and out ----------------------------------------------------------------------------------------------------


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


# Carried on -----------------------------------------------------------------------------------------------------------


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
