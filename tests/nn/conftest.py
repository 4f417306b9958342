"""The backends of this machine, and a module that holds others in every way there is."""

from __future__ import annotations

import pytest

import xpnn
from xpnn import nn
from xpnn.core import backend as backends
from xpnn.nn.module import parameter

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]


@pytest.fixture(params=["numpy", "numba"])
def place(request):
    with xpnn.use(request.param):
        yield request.param


class Tree(nn.Module):
    """Modules in a list, a dict and a tuple, one of them twice; a parameter and a buffer of its own."""

    def __init__(self):
        self.stem = nn.Dense(3, 4)
        self.branches = [nn.Dense(4, 4, activation="tanh"), nn.Sequential(nn.Dense(4, 4), nn.Dropout(0.5))]
        self.heads = {"left": nn.Dense(4, 2), "right": (nn.Dense(4, 2), self.stem)}
        self.again = self.branches[0]
        self.scale = parameter((2,), "ones", decay=False)
        self.seen = xpnn.tensor([0.0, 1.0])
        self.note = "neither"

    def forward(self, x):
        h = self.again(self.branches[1](self.branches[0](self.stem(x))))
        return (self.heads["left"](h) + self.heads["right"][0](h)) * self.scale
