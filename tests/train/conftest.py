"""A training that takes a fraction of a second: the embedded digits on a small network with dropout."""

from __future__ import annotations

import pytest

import xpnn
from xpnn import data, nn, optim


@pytest.fixture(params=["numpy", "numba"])
def backend(request):
    return request.param


@pytest.fixture(scope="session")
def digits():
    return data.digits()


@pytest.fixture
def make(digits):
    """make(backend, **settings) -> a fresh Trainer from seed 7, the same every time."""

    def build(backend="numpy", optimizer=None, dropout=0.2, **settings):
        with xpnn.use(backend):
            xpnn.seed(7)
            model = nn.Sequential(
                nn.Flatten(), nn.Dense(64, 32, activation="relu"), nn.Dropout(dropout), nn.Dense(32, 10)
            )
        return xpnn.Trainer(model, optimizer or optim.Adam(lr=3e-3), **settings)

    return build


def same_weights(a, b):
    """Bit for bit?"""
    left, right = a.model.state(), b.model.state()
    return left.keys() == right.keys() and all((left[k] == right[k]).all() for k in left)
