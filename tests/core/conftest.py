"""Small tensors, and a second place to be: a backend as an outside package would bring it."""

from __future__ import annotations

from importlib import metadata

import numpy as np
import pytest

import xpnn
from xpnn.backends.numpy import NumpyBackend
from xpnn.core import backend


def f32(*values):
    return xpnn.tensor(np.array(values, np.float32))


def leaf(*values, dtype="float64"):
    return xpnn.tensor(np.array(values, dtype), requires_grad=True)


def grad(x):
    return x.grad.numpy().tolist()


class Elsewhere(NumpyBackend):
    name = "elsewhere"


@pytest.fixture
def elsewhere(monkeypatch):
    """The backend `elsewhere`, found by an entry point."""

    class Point:
        name = "elsewhere"

        def load(self):
            return lambda index: Elsewhere()

    monkeypatch.setattr(metadata, "entry_points", lambda group: [Point()] if group == "xpnn.backends" else [])
    monkeypatch.setattr(backend, "_instances", dict(backend._instances))
    return backend.get("elsewhere")


@pytest.fixture
def default_restored(monkeypatch):
    """Whatever a test uses for the process is forgotten after it."""
    monkeypatch.setattr(backend, "_uses", [])


@pytest.fixture
def numba_in_use():
    with xpnn.use("numba"):
        yield
