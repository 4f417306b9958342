"""A training whose steps are captured or not, and what must be the same in both."""

from __future__ import annotations

import numpy as np

import xpnn
from xpnn import losses, nn, optim


def network():
    return nn.Sequential(nn.Dense(6, 8, activation="relu"), nn.Dropout(0.5), nn.Dense(8, 3, activation="gelu"))


def batch(i, n=5):
    rng = np.random.default_rng(i)
    return xpnn.tensor(rng.normal(size=(n, 6)).astype("f4")), xpnn.tensor(rng.integers(0, 3, n))


class Training:
    """A model and its step, captured or not; `run` gives the losses."""

    def __init__(self, captured, method="Adam", **settings):
        xpnn.seed(3)
        self.model = network()
        self.optimizer = getattr(optim, method)(self.model, lr=0.1, **settings)
        self.step = xpnn.capture(self.eager) if captured else self.eager

    def eager(self, x, y):
        loss = losses.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, steps, n=5, start=0):
        return [self.step(*batch(i, n)).item() for i in range(start, start + steps)]


def same(change=lambda training: None, **settings):
    """Two runs, captured and not, changed in between, have the same losses and weights; the last step is a replay."""
    found, steps = [], 6
    for captured in (True, False):
        training = Training(captured, **settings)
        values = training.run(steps)
        change(training)
        values += training.run(steps, start=steps)
        found.append((values, training.model.state()))
        if captured:
            assert training.step.why_not is None
    (a, wa), (b, wb) = found
    assert a == b
    for name in wa:
        assert np.array_equal(wa[name], wb[name]), name
