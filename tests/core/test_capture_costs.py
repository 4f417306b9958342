"""What a replay costs: no memory, and little Python."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn, optim
from xpnn.core import backend as backends
from xpnn.core import tape

from .captured import Training, batch

pytestmark = pytest.mark.usefixtures("numba_in_use")


def test_a_replayed_step_allocates_nothing_and_records_no_graph(monkeypatch):
    training = Training(True)
    training.run(4, n=2000)
    x, y = batch(1, n=2000)
    calls = []
    place = backends.get("numba")
    for owner, name in ((place, "empty"), (place, "full"), (place, "route"), (tape, "apply"), (tape, "_record")):
        monkeypatch.setattr(owner, name, lambda *a, name=name, **k: calls.append(name))
    steps = training.step.steps(x, y)
    tracemalloc.start()
    try:
        for _ in steps:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert training.step.why_not is None
    assert not calls
    assert peak < 16 * 1024  # Python's own small objects; one activation has 24 kB or more


class Joined(nn.Module):
    """A carried state, a residual addition and a concatenation, in arrays of 64 kB and more."""

    def __init__(self):
        self.lstm, self.out = nn.LSTM(16, 16, stateful=64), nn.Dense(32, 2)

    def forward(self, x):
        h = self.lstm(x)
        h = h[0] if isinstance(h, tuple) else h
        return self.out(xpnn.concat([h + x, x], axis=2))


def test_additions_concatenations_and_carried_states_allocate_nothing():
    with xpnn.use("numba"):
        model = Joined()
        optimizer = optim.SGD(model, lr=0.1)

        def step(x):
            loss = model(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        captured = xpnn.capture(step)
        x = xpnn.tensor(np.ones((64, 20, 16), np.float32))
        for _ in range(4):
            captured(x)
        tracemalloc.start()
        try:
            captured(x)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert captured.why_not is None
    assert peak < 32 * 1024  # the gradient of the mean, by its reference, is 10 kB; a sum or what is joined 80


def test_a_replay_runs_little_python():
    """A loss of 64 x 10 is a few kernel calls; what surrounds them must not cost more than they do."""
    x, labels = xpnn.Parameter(np.ones((64, 10), "f4"), backends.get("numba")), xpnn.tensor(np.arange(64) % 10)

    def step():
        x.zero_grad()
        losses.cross_entropy(x, labels).backward()

    step, calls = xpnn.capture(step), []
    for _ in range(3):
        step()
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        step()
    finally:
        sys.setprofile(None)
    assert len(calls) < 30, calls
