"""Whole networks on CUDA, run by the CPU: the same training as on NumPy, and how many nodes a step has."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import models, nn, optim
from xpnn.core import backend as backends

STEPS = 100


@pytest.fixture(autouse=True)
def one_order(monkeypatch):
    """Of the threads: the generated tests run all three."""
    monkeypatch.setenv("XPNN_CUDA_ORDER", "shuffled")


def mlp():
    return models.mlp((12,), 4, hidden=(16,))


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, activation="relu"),
        nn.BatchNorm(4),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.2),
        nn.Dense(36, 4),
    )


def recurrent():
    return nn.Sequential(nn.LSTM(3, 8), nn.Flatten(), nn.Dense(32, 4))


NETWORKS = {"mlp": (mlp, (12,)), "cnn": (cnn, (8, 8, 1)), "lstm": (recurrent, (4, 3))}


def losses_of(place, model, shape, steps):
    """Of a recorded step with Adam, on random samples."""
    rng = np.random.default_rng(1)
    optimizer = optim.Adam(model, lr=0.01)

    def step(x, labels):
        loss = xpnn.losses.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    captured, losses = xpnn.capture(step), []
    for _ in range(steps):
        x, labels = rng.normal(size=(6, *shape)).astype("f4"), rng.integers(0, 4, 6)
        losses.append(captured(xpnn.tensor(x, backend=place), xpnn.tensor(labels, backend=place)).item())
    return np.array(losses)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_as_on_numpy(gpu, name):
    """Over 100 steps the losses agree within 1e-4."""
    make, shape = NETWORKS[name]
    found = []
    for place in (gpu, backends.get("numpy")):
        xpnn.seed(5)
        found.append(losses_of(place, make().to(place), shape, STEPS))
    np.testing.assert_allclose(*found, rtol=1e-4)


@pytest.mark.parametrize(
    ("make", "budget"),
    [
        (lambda shape: models.mlp(shape, 10), 8),
        (lambda shape: models.cnn(shape, 10, dropout=0.0), 22),
        (lambda shape: models.lenet5(shape, 10), 22),
    ],
    ids=["mlp 784-300-10", "cnn 32-64-pool-128-10", "lenet5"],
)
def test_nodes_of_a_step(gpu, cupy, make, budget):
    shape = (28, 28, 1)
    losses_of(gpu, make(shape).to(gpu), shape, 2)
    (graph,) = cupy.cuda.streams.graphs
    assert len(graph.runs) <= budget
