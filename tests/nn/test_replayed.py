"""Layers in a recorded training step: the same bits as the same steps run as they are."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim

LAYERS = {
    "activation": (lambda: nn.Activation("softmax"), (4, 3)),
    "conv1d": (lambda: nn.Conv1d(4, 2, 3, 2, (2, 0), 2, 2, "relu", False), (2, 9, 4)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), 2, ((1, 0), (0, 1)), groups=2), (2, 7, 6, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, (3, 2), 2, 1, 1, groups=2, activation="gelu"), (2, 5, 4, 4)),
    "avg_pool": (lambda: nn.AvgPool2d((3, 2), 1, ((1, 0), (0, 1))), (2, 6, 5, 3)),
    "max_pool": (lambda: nn.MaxPool1d(3, 2, "same"), (2, 7, 3)),
    "batch_norm": (lambda: nn.BatchNorm(3), (4, 5, 3)),
    "dropout": (lambda: nn.Dropout(0.25), (4, 3)),
    "spatial_dropout": (lambda: nn.SpatialDropout(0.25), (2, 4, 4, 3)),
    "flatten": (lambda: nn.Flatten(), (2, 3, 4)),
    "global_avg": (lambda: nn.GlobalAvgPool(), (2, 3, 4, 5)),
    "global_max": (lambda: nn.GlobalMaxPool(), (2, 3, 4, 5)),
    "group_norm": (lambda: nn.GroupNorm(6, 3), (2, 3, 4, 6)),
    "layer_norm": (lambda: nn.LayerNorm(3), (4, 3)),
    "attention": (lambda: nn.MultiHeadAttention(4, 2, causal=True), (2, 5, 4)),
    "gru": (lambda: nn.GRU(3, 2, bidirectional=True, layers=2), (3, 4, 3)),
    "lstm": (lambda: nn.LSTM(3, 2, layers=2, stateful=3), (3, 4, 3)),
    "rnn": (lambda: nn.RNN(3, 2, activation="relu", layers=2, dropout=0.1), (3, 4, 3)),
    "upsample": (lambda: nn.Upsample((2, 3), "bilinear"), (2, 3, 4, 2)),
}
STEPS = 6


def train(make, shape, captured):
    """The losses, the weights and state afterwards, and why the last step was no replay."""
    xpnn.seed(3)
    model = nn.Sequential(nn.Dense(shape[-1], shape[-1]), make())  # a gradient for what has no weights of its own
    optimizer = optim.Adam(model, lr=0.1)

    def eager(x):
        y = model(x)
        loss = (y * y).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    step = xpnn.capture(eager) if captured else eager
    rng = np.random.default_rng(1)
    losses = [step(xpnn.tensor(rng.normal(size=shape).astype("f4"))).item() for _ in range(STEPS)]
    return losses, model.state(), getattr(step, "why_not", None)


@pytest.mark.parametrize("name", LAYERS)
def test_a_replayed_step_has_the_bits_of_an_eager_one(name):
    with xpnn.use("numba"):
        losses, state, why_not = train(*LAYERS[name], True)
        expected, weights, _ = train(*LAYERS[name], False)
    assert why_not is None
    assert losses == expected
    for key in weights:
        assert np.array_equal(state[key], weights[key]), key
