"""Checks of recorded steps on a GPU: each is one graph, waits for its turn, and has memory of its own."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

import xpnn
from xpnn import models, nn, optim
from xpnn.core import backend as backends

MODELS: dict[str, Callable[..., nn.Module]] = {"mlp": models.mlp, "cnn": partial(models.cnn, dropout=0.0)}
NODES = {"mlp": 8, "cnn": 22}
"""Kernels that a step may launch, each a node of its graph."""


class Wrong(Exception):
    """What a check found."""


def need(right: bool, wrong: str) -> None:
    if not right:
        raise Wrong(wrong)


class Trained:
    """A small network and its recorded step; the same from the same seed."""

    def __init__(self, place: Any, shape: tuple[int, ...] = (12,), batch: int = 6, recorded: bool = True) -> None:
        xpnn.seed(5)
        with xpnn.use(place):
            # Weights are drawn on the host, dropout's masks in kernels: both are the same everywhere.
            model = models.mlp(shape, 4, hidden=(16,), dropout=0.2)
        optimizer = optim.Adam(model, lr=0.01)
        self.model, self.place, self.shape, self.batch = model, place, shape, batch

        def step(x: Any, labels: Any) -> Any:
            loss = xpnn.losses.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        self.step = xpnn.capture(step) if recorded else step

    def given(self, i: int) -> tuple[Any, Any]:
        rng = np.random.default_rng(i)
        x, labels = rng.normal(size=(self.batch, *self.shape)).astype("f4"), rng.integers(0, 4, self.batch)
        return xpnn.tensor(x, backend=self.place), xpnn.tensor(labels, backend=self.place)

    def losses(self, steps: int) -> np.ndarray:
        return np.array([self.step(*self.given(i)).item() for i in range(steps)])


def one_graph(place: Any) -> str:
    """A step is one graph of few nodes: a launch by launch is said by a warning, which is an error here."""
    said = []
    for name, most in NODES.items():
        with xpnn.use(place):
            model = MODELS[name]((28, 28, 1), 10)
        optimizer = optim.Adam(model, lr=1e-3)
        x = xpnn.tensor(np.ones((64, 28, 28, 1), "f4"), backend=place)
        labels = xpnn.tensor(np.arange(64) % 10, backend=place)

        def step(model: Any = model, optimizer: Any = optimizer, x: Any = x, labels: Any = labels) -> None:
            loss = xpnn.losses.cross_entropy(model(x), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

        captured = xpnn.capture(step)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(3):
                captured()
        need(captured.why_not is None, f"{name} is not replayed: {captured.why_not}")
        ((plan,),) = captured._plans.values()
        graph: Any
        (graph,) = plan.recording.segments[0]
        nodes = graph.graph.debug_dot_str().count('shape="octagon"')
        need(0 < nodes <= most, f"{name}: {nodes} kernels in a graph, {most} at most")
        said.append(f"{name} {nodes} kernels of {most} at most")
    return ", ".join(said)


def same_as_eager(place: Any) -> str:
    recorded, eager = (Trained(place, recorded=how).losses(20) for how in (True, False))
    need(np.array_equal(recorded, eager), f"losses differ by {np.max(np.abs(recorded - eager)):.1e}")
    return "20 losses, the same bits"


def same_twice(place: Any) -> str:
    first, second = (Trained(place, (28, 28), 64).losses(20) for _ in range(2))
    need(np.array_equal(first, second), f"losses differ by {np.max(np.abs(first - second)):.1e}")
    return "20 losses, the same bits"


def as_on_numpy(place: Any) -> str:
    """100 steps from one seed, dropout's masks included."""
    got, want = (Trained(where).losses(100) for where in (place, backends.get("numpy")))
    gap = float(np.max(np.abs(got - want) / np.abs(want)))
    need(gap <= 1e-4, f"losses differ by {gap:.1e} of themselves")
    return f"100 losses within {gap:.0e}"


def order(place: Any, size: int = 1 << 22) -> str:
    """A graph is launched on the legacy stream, after what was asked for there, and before what is asked for next."""
    x = xpnn.tensor(np.zeros(size, "f4"), backend=place)
    captured = xpnn.capture(lambda: (x * 2 + 1) * 3)
    for i in range(30):
        x.assign(np.full(size, i, "f4"))
        y = captured().numpy()
        need(
            bool((y == 6 * i + 3).all()), f"launch {i}: {int((y != 6 * i + 3).sum())} of {size} numbers are of another"
        )
    need(captured.why_not is None, f"not replayed: {captured.why_not}")
    return "30 launches between copies"


def own_memory(place: Any) -> str:
    """Nobody else is given the addresses that a graph has written down."""
    training, undisturbed = Trained(place), Trained(place).losses(12)
    losses = []
    for i in range(12):
        losses.append(training.step(*training.given(i)).item())
        junk = [place.cupy.full(1 << k, np.nan, np.float32) for k in range(4, 22)]
        del junk
    need(np.array_equal(losses, undisturbed), "losses are others where arrays are made and freed between steps")
    return "12 losses, the same bits"


def no_copies(place: Any) -> str:
    training = Trained(place)
    given = training.given(0)
    for _ in range(3):
        training.step(*given)
    with xpnn.transfers() as seen:
        for _ in range(10):
            training.step(*given)
    need(seen.to_device == seen.to_host == seen.waits == 0, f"10 replayed steps: {seen}")
    return "10 replayed steps, none"
