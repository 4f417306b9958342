"""Attention and its layer: who sees what, queries that see nothing, and a block of a transformer that learns."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops, optim
from xpnn.errors import ConfigError, DTypeError, ShapeError

RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 70, 8)).astype(np.float32)


def test_a_causal_layer_cannot_see_the_future(place):
    layer, t = nn.MultiHeadAttention(8, 2, causal=True), 66
    x = xpnn.tensor(X, requires_grad=True)
    layer(x)[:, t].sum().backward()
    dx = x.grad.numpy()
    assert (dx[:, t + 1 :] == 0).all()
    assert (dx[:, : t + 1] != 0).any(axis=(0, 2)).all()


def test_padding_has_no_say_even_where_it_is_nan(place):
    k = X.copy()
    k[0, 5:] = np.nan
    lengths = np.array([5, 70])
    q, key, value = (xpnn.tensor(a, requires_grad=True) for a in (X, k, k))
    y = ops.attention(q, key, value, heads=2, lengths=lengths)
    np.testing.assert_allclose(y.numpy()[0], ops.attention(X[:1], X[:1, :5], X[:1, :5], heads=2).numpy()[0], rtol=1e-4)
    y.sum().backward()
    for t in (key, value):
        assert (t.grad.numpy()[0, 5:] == 0).all()
    assert np.isfinite(q.grad.numpy()).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_padding_has_a_gradient_of_0_where_all_else_is_nan(place, value):
    for of_query in (True, False):
        q, dy = X.copy(), X.copy()
        (q if of_query else dy)[0, 3, 2] = value
        key, values = (xpnn.tensor(X, requires_grad=True) for _ in range(2))
        with np.errstate(invalid="ignore"):
            y = ops.attention(xpnn.tensor(q), key, values, heads=2, lengths=np.array([5, 70]))
            y.backward(xpnn.tensor(dy))
        for t in (key, values):
            assert (t.grad.numpy()[0, 5:] == 0).all()
            assert not np.isfinite(t.grad.numpy()[0, :5]).all()


def test_who_sees_nothing_gives_zeros(place):
    q, k, v = (xpnn.tensor(X[:, :n], requires_grad=True) for n in (6, 4, 4))
    y = ops.attention(q, k, v, heads=2, causal=True, lengths=np.array([0, 4]))
    assert (y.numpy()[0] == 0).all()
    assert (y.numpy()[1, :2] == 0).all()  # the last query stands at the last key
    np.testing.assert_allclose(y.numpy()[1, 2], X[1, 0], rtol=1e-6)  # it sees one value
    y.sum().backward()
    assert (q.grad.numpy()[0] == 0).all()
    assert (k.grad.numpy()[0] == 0).all()
    assert (v.grad.numpy()[0] == 0).all()


def test_lengths_out_of_range_are_refused(place):
    with pytest.raises(ShapeError, match="attention: expected lengths from 0 to 4; got 0 to 9"):
        ops.attention(X[:, :6], X[:, :4], X[:, :4], heads=2, lengths=np.array([0, 9]))


def test_one_query_decoded_against_all_keys_so_far(place):
    layer = nn.MultiHeadAttention(8, 4, causal=True)
    np.testing.assert_allclose(layer(X).numpy()[:, -1:], layer(X[:, -1:], X).numpy(), rtol=1e-4, atol=1e-5)


def test_the_same_bits_every_time():
    with xpnn.use("numba"):
        found = []
        for _ in range(2):
            q, k, v = (xpnn.tensor(X, requires_grad=True) for _ in range(3))
            ops.attention(q, k, v, heads=4, causal=True).sum().backward()
            found.append(b"".join(t.grad.numpy().tobytes() for t in (q, k, v)))
        assert found[0] == found[1]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.MultiHeadAttention(8, 3), ConfigError, "heads that divide the 8 features; got 3"),
        (lambda: nn.MultiHeadAttention(8, 2, causal=1), ConfigError, "causal and bias as True or False; got 1"),
        (lambda: ops.attention(X, X[:, :, :4], X), ShapeError, r"attention: expected k \(2, 70, 8\)"),
        (lambda: ops.attention(X[0], X[0], X[0]), ShapeError, r"attention: expected q, k, v \(N, T, E\)"),
        (lambda: ops.attention(X, X, X, lengths=np.ones(3, int)), ShapeError, r"attention: expected lengths \(2,\)"),
        (lambda: ops.attention(X, X, X, lengths=np.ones(2)), DTypeError, "attention: expected integer lengths"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


class Block(nn.Module):
    """A block of a transformer: Vaswani et al., 2017, normalised before each part."""

    def __init__(self):
        self.norms = [nn.LayerNorm(8), nn.LayerNorm(8)]
        self.attention = nn.MultiHeadAttention(8, 2, causal=True)
        self.wide, self.narrow = nn.Dense(8, 16, activation="gelu"), nn.Dense(16, 8)

    def forward(self, x):
        x = x + self.attention(self.norms[0](x))
        return x + self.narrow(self.wide(self.norms[1](x)))


def test_a_block_learns_alike_everywhere():
    """To repeat what came one step before."""
    curves, weights = {}, None
    x = X[:, :20]
    target = np.concatenate([np.zeros_like(x[:, :1]), x[:, :-1]], axis=1)
    for backend in ("numpy", "numba"):
        with xpnn.use(backend):
            model = Block()
            weights = weights or model.state()
            model.load_state(weights)
            optimizer = optim.Adam(model, lr=1e-2)
            losses = []
            for _ in range(20):
                loss = xpnn.losses.mean_squared_error(model(x), xpnn.tensor(target))
                loss.backward()
                optimizer.step()
                optimizer.zero_grad()
                losses.append(loss.item())
        curves[backend] = losses
        assert losses[-1] < 0.8 * losses[0]
    np.testing.assert_allclose(curves["numpy"], curves["numba"], rtol=1e-3)


@pytest.mark.peers
@pytest.mark.parametrize("causal", [False, True])
def test_the_layer_against_pytorch(causal):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = nn.MultiHeadAttention(8, 2, causal=causal).astype("float64")
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True, dtype=torch.float64)
    parts = (layer.query, layer.key, layer.value)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.from_numpy(np.concatenate([p.w.numpy().T for p in parts])))
        theirs.in_proj_bias.copy_(torch.from_numpy(np.concatenate([p.b.numpy() for p in parts])))
        theirs.out_proj.weight.copy_(torch.from_numpy(layer.out.w.numpy().T.copy()))
        theirs.out_proj.bias.copy_(torch.from_numpy(layer.out.b.numpy().copy()))
    query, memory, lengths = X[:, :9].astype(np.float64), X[:, 9:18].astype(np.float64), np.array([4, 9])
    padding = torch.arange(9) >= torch.from_numpy(lengths)[:, None]
    future = torch.ones(9, 9, dtype=torch.bool).triu(1) if causal else None
    a, b = torch.from_numpy(query).requires_grad_(), torch.from_numpy(memory).requires_grad_()
    y = theirs(a, b, b, key_padding_mask=padding, attn_mask=future, need_weights=False)[0]
    ours, other = xpnn.tensor(query, requires_grad=True), xpnn.tensor(memory, requires_grad=True)
    got = layer(ours, other, lengths=lengths)
    np.testing.assert_allclose(got.numpy(), y.detach().numpy(), atol=1e-12)
    (y * y).sum().backward()
    (got * got).sum().backward()
    np.testing.assert_allclose(ours.grad.numpy(), a.grad.numpy(), atol=1e-12)
    np.testing.assert_allclose(other.grad.numpy(), b.grad.numpy(), atol=1e-12)
