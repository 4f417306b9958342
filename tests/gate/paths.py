"""The hot paths whose instructions are counted: each is run until it is warm, then some times between two marks.

A program of its own: `gate.py` runs it, first as it is, to compile kernels, then under callgrind.
"""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import xpnn
from xpnn import losses, models, nn, optim

WARM, TAKES = 4, 3  # the first call compiles, the second records, the third replays


def training(model: nn.Module, x: np.ndarray, classes: int) -> Callable[[], Any]:
    """A step: forward, loss, backward, Adam."""
    optimizer = optim.Adam(model, lr=1e-3)
    inputs, labels = xpnn.tensor(x), xpnn.tensor(np.arange(len(x)) % classes)

    def step(x: Any, labels: Any) -> Any:
        loss = losses.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss

    return lambda: step(inputs, labels)


def recorded(step: Callable[[], Any]) -> Callable[[], Any]:
    return xpnn.capture(step)


class Last(nn.Module):
    """An LSTM whose last state is classified."""

    def __init__(self) -> None:
        self.lstm, self.head = nn.LSTM(28, 64), nn.Dense(64, 10)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[:, -1])


def mlp() -> Callable[[], Any]:
    return training(models.mlp((28, 28, 1), 10), np.ones((64, 28, 28, 1), np.float32), 10)


def cnn() -> Callable[[], Any]:
    return training(models.cnn((28, 28, 1), 10, dropout=0.0), np.ones((8, 28, 28, 1), np.float32), 10)


def lstm() -> Callable[[], Any]:
    return training(Last(), np.ones((16, 14, 28), np.float32), 10)


PATHS = {
    "MLP 784-300-10, batch 64, a step by the program": mlp,
    "MLP 784-300-10, batch 64, a replayed step": lambda: recorded(mlp()),
    "CNN of 32 and 64, batch 8, a replayed step": lambda: recorded(cnn()),
    "LSTM of 64, 14 steps, batch 16, a replayed step": lambda: recorded(lstm()),
}


def main() -> None:
    marks = ctypes.CDLL(sys.argv[1])
    xpnn.use("numba")
    xpnn.set_num_threads(1)
    for name, build in PATHS.items():
        run = build()
        for _ in range(WARM):
            run()
        gc.collect()
        gc.disable()
        for _ in range(TAKES):
            marks.begin()
            run()
            marks.end(name.encode())
        gc.enable()


if __name__ == "__main__":
    main()
