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


def run(place, name, steps):
    make, shape = NETWORKS[name]
    rng = np.random.default_rng(1)
    with xpnn.use(place):
        xpnn.seed(5)
        model = make()
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
            losses.append(captured(xpnn.tensor(x), xpnn.tensor(labels)).item())
    return np.array(losses)


@pytest.mark.parametrize("name", NETWORKS)
def test_training_as_on_numpy(gpu, name):
    """Over 100 steps the losses agree within 1e-4."""
    np.testing.assert_allclose(run(gpu, name, STEPS), run(backends.get("numpy"), name, STEPS), rtol=1e-4)


def nodes(cupy, name):
    run("cuda:1", name, 2)
    return sum(len(graph.runs) for graph in cupy.cuda.streams.graphs)


@pytest.mark.parametrize(("name", "budget"), [("mlp", 8), ("cnn", 22)])
def test_nodes_of_a_step(cupy, name, budget):
    assert nodes(cupy, name) <= budget
