"""The gradients of whole recurrent layers against finite differences in float64: every parameter, input and state.

At T = 1, 2 and 7, with unequal lengths, in both directions, in two layers, and all of it at once.
"""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn

N, I, H = 4, 3, 5
KINDS = {"rnn": nn.RNN, "relu": lambda *a, **k: nn.RNN(*a, activation="relu", **k), "lstm": nn.LSTM, "gru": nn.GRU}
SHAPES = {
    "plain": {},
    "bidirectional": {"bidirectional": True},
    "two layers": {"layers": 2},
    "two layers, bidirectional": {"layers": 2, "bidirectional": True},
    "two layers, bidirectional, the last output": {"layers": 2, "bidirectional": True, "output": "last"},
}


def lengths_for(T):
    """Full, empty, and two in between where there is room."""
    return [T, 0, max(T - 1, 1), (T + 1) // 2]


def along(loss, tensor, direction, h):
    """d loss / d tensor along a direction, by the five-point formula: its error is of order h^4."""
    x = tensor.numpy().copy()

    def at(t):
        tensor.assign(x + t * direction)
        return loss().item()

    derivative = (8 * (at(h) - at(-h)) - (at(2 * h) - at(-2 * h))) / (12 * h)
    tensor.assign(x)
    return derivative


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("unequal", [False, True], ids=["", "lengths"])
@pytest.mark.parametrize("T", [1, 2, 7])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_gradients_are_those_of_finite_differences(kind, shape, T, unequal, place):
    xpnn.seed(T)
    rng = np.random.default_rng(T)
    with xpnn.use(place):
        layer = KINDS[kind](I, H, **SHAPES[shape]).astype("float64")
        x = xpnn.tensor(rng.normal(size=(N, T, I)), requires_grad=True)
        state = nn.State(
            tuple(xpnn.tensor(rng.normal(size=(N, H)), requires_grad=True) for _ in part)
            for part in layer.initial_state(N)
        )
    for b in (*layer.b, *getattr(layer, "bn", [])):
        b.assign(rng.normal(size=b.shape))  # zeros would hide much
    lengths = lengths_for(T) if unequal else None

    y, after = layer(x, state, lengths=lengths)
    weights = [rng.normal(size=t.shape) for t in (y, *(t for part in after for t in part))]

    def loss():
        y, after = layer(x, state, lengths=lengths)
        outs = (y, *(t for part in after for t in part))
        return sum((t * w).sum() for t, w in zip(outs, weights, strict=True))

    loss().backward()
    tensors = {"x": x, **dict(layer.named_parameters())}
    tensors |= {f"state {k}.{i}": t for k, part in enumerate(state) for i, t in enumerate(part)}
    h = 1e-5 if kind == "relu" else 2e-3  # a step must not cross its kinks
    with xpnn.no_grad():
        for name, t in tensors.items():
            direction = rng.normal(size=t.shape)
            direction /= np.linalg.norm(direction)
            terms = t.grad.numpy() * direction
            scale = max(np.sqrt(np.sum(terms**2)), 1e-2)
            assert abs(along(loss, t, direction, h) - terms.sum()) < 5e-9 * scale, name
