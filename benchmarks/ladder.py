"""The ladder: one network, one seed, one data set, from objects to recorded kernels.

Each rung is shown to give the same losses before it is timed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import xpnn
from xpnn import losses, models, nn, optim
from xpnn.baseline import Network as Objects
from xpnn.core.contract import Backend
from xpnn_benchmarks.peers.works import digits

BATCH, SAMPLES = 64, 1024
Step = Callable[[np.ndarray, np.ndarray], Any]
"""Trains on a batch (x, targets) and gives its loss before the step, the mean over the samples."""


class Rows(nn.Module):
    """An image read row by row by an LSTM; its last state is classified."""

    def __init__(self) -> None:
        self.lstm, self.head = nn.LSTM(28, 128), nn.Dense(128, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x.reshape(x.shape[0], 28, 28))[:, -1])


class Network(NamedTuple):
    """title, layers, loss, targets as that loss takes them, and a learning rate at which it falls."""

    title: str
    build: Callable[[], nn.Module]
    loss: Callable[..., Any]
    targets: Callable[[np.ndarray], np.ndarray]
    lr: float = 0.1


def _sigmoids() -> nn.Module:
    """What the objects compute: sigmoids throughout."""
    return models.mlp((28, 28, 1), 10, activation="sigmoid", output="sigmoid")


NETWORKS = {
    "mlp": Network(
        "MLP 784-300-10, sigmoid",
        _sigmoids,
        losses.half_sum_of_squares,
        lambda labels: np.where(np.eye(10)[labels] > 0, 0.9, 0.1),
    ),
    "cnn": Network(
        "CNN, two 3x3 convolutions of 32 and 64",
        partial(models.cnn, (28, 28, 1), 10, dropout=0.0),
        losses.cross_entropy,
        lambda labels: labels,
        0.01,
    ),
    "lstm": Network("LSTM of 128 over the rows of an image", Rows, losses.cross_entropy, lambda labels: labels),
}


def data(network: str, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """The first samples of MNIST, or as many random ones."""
    x, labels = digits(SAMPLES)
    targets = NETWORKS[network].targets(labels)
    return (x / 255).astype(dtype), targets.astype(dtype) if targets.dtype.kind == "f" else targets


def weights(network: str) -> dict[str, np.ndarray]:
    """What every rung begins with: drawn from one seed, on NumPy."""
    xpnn.seed(0)
    with xpnn.use("numpy"):
        return NETWORKS[network].build().state()


# The rungs ----------------------------------------------------------------------------------------------------------


def objects(network: str, dtype: str) -> Step:
    """Node and Connection objects, a sample at a time, in Python's own float64."""
    net, state = Objects([784, 300, 10]), weights(network)
    arrays = list(state.values())
    net.set_weights([(arrays[i].tolist(), arrays[i + 1].tolist()) for i in (0, 2)])

    def step(x: np.ndarray, targets: np.ndarray) -> float:
        (sample,), (target,) = x.reshape(len(x), -1).tolist(), targets.tolist()
        net.train_one_sample(target, sample, NETWORKS[network].lr)  # its outputs stay in the nodes
        return 0.5 * sum((n.output - t) ** 2 for n, t in zip(net.layers[-1].nodes, target, strict=True))

    return step


def vectors(network: str, dtype: str) -> Step:
    """The same by NumPy: a vector for a layer, still a sample at a time."""
    w1, b1, w2, b2 = (a.astype(dtype) for a in weights(network).values())
    lr = NETWORKS[network].lr

    def step(x: np.ndarray, targets: np.ndarray) -> float:
        x, t = x.reshape(-1), targets[0]
        h = 1 / (1 + np.exp(-(x @ w1 + b1)))
        y = 1 / (1 + np.exp(-(h @ w2 + b2)))
        dz = (y - t) * y * (1 - y)
        dh = (w2 @ dz) * h * (1 - h)
        for w, b, before, delta in ((w2, b2, h, dz), (w1, b1, x, dh)):
            w -= lr * np.outer(before, delta)
            b -= lr * delta
        return float(0.5 * np.sum((y - t) ** 2))

    return step


def batches(network: str, dtype: str, place: Backend, recorded: bool = False) -> Step:
    """xpnn on a backend, as a loop of one's own calls it, or recorded by `xpnn.capture`."""
    _, build, loss_of, _, lr = NETWORKS[network]
    state = {name: a.astype(dtype) for name, a in weights(network).items()}
    with xpnn.use(place):
        model = build().astype(dtype)
    model.load_state(state)
    optimizer = optim.SGD(model, lr=lr)

    def train(x: Any, targets: Any) -> Any:
        loss = loss_of(model(x), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    called = xpnn.capture(train) if recorded else train

    def step(x: np.ndarray, targets: np.ndarray) -> Any:
        """From the host and to its end: copies and waiting are part of it."""
        loss = called(xpnn.tensor(x, backend=place), xpnn.tensor(targets, backend=place))
        place.synchronize()
        return loss

    return step


class Rung(NamedTuple):
    """title, the backend it needs ("" for none), samples of a step, how to build it."""

    title: str
    backend: str
    batch: int
    make: Callable[[str, str], Step]


def rungs(network: str, places: list[Backend]) -> Iterator[Rung]:
    """From the bottom up, those that can be stood on here."""
    if network == "mlp":
        yield Rung("objects, a sample at a time", "", 1, objects)
        yield Rung("NumPy vectors, a sample at a time", "", 1, vectors)
    for place in places:
        name = place.device
        yield Rung(f"{name}, mini-batches", name, BATCH, partial(batches, place=place))
        if place.replays:
            how = "recorded" if place.on_host else "one graph"
            yield Rung(f"{name}, {how}", name, BATCH, partial(batches, place=place, recorded=True))


def losses_of(rung: Rung, network: str, batch: int, steps: int, dtype: str = "float64") -> np.ndarray:
    """The losses of the first steps: in float64 exactly, in float32 as they are timed."""
    x, targets = data(network, dtype)
    step = rung.make(network, dtype)
    found = []
    with xpnn.precision("exact" if dtype == "float64" else "fast"):
        for i in range(0, steps * batch, batch):
            loss = step(x[i : i + batch], targets[i : i + batch])
            found.append(float(loss if isinstance(loss, float) else loss.item()))
    return np.array(found)
