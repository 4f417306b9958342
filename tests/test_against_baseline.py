"""The object-per-neuron network and a Sequential in float64 are the same mathematics: the same weights to 1e-12."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import data, nn, optim
from xpnn.baseline import Network
from xpnn.data import Dataset


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_one_hundred_samples_one_at_a_time(backend):
    train, _ = data.digits()
    samples = train[:100].one_hot(0.1, 0.9)
    x = samples.x.reshape(100, 64) / 16.0
    network = Network([64, 12, 10], seed=4)

    with xpnn.use(backend):
        model = nn.Sequential(nn.Dense(64, 12, activation="sigmoid"), nn.Dense(12, 10, activation="sigmoid"))
    model.astype("float64")
    for layer, (w, b) in zip(model, network.weights(), strict=True):
        layer.w.assign(w)
        layer.b.assign(b)
    targets = np.where(np.eye(10)[train.y[:100]] > 0, 0.9, 0.1)
    xpnn.Trainer(model, optim.SGD(lr=0.3), loss="half_sum_of_squares").fit(
        Dataset(x, targets), epochs=1, batch_size=1, shuffle=False, progress=False
    )

    network.train(targets.tolist(), x.tolist(), rate=0.3, epochs=1)
    for layer, (w, b) in zip(model, network.weights(), strict=True):
        np.testing.assert_allclose(layer.w.numpy(), w, rtol=0, atol=1e-12)
        np.testing.assert_allclose(layer.b.numpy(), b, rtol=0, atol=1e-12)
    assert abs(np.array(network.weights()[0][0])).max() > 0.11, "training moved nothing"
