"""The first step on the GPU, from the start of a process to its end: with no kernel compiled yet, and with all."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from statistics import median
from typing import Any

FIRST_STEP = """
import numpy as np, xpnn
from xpnn import nn, optim
xpnn.use("{place}")
model = nn.Sequential(nn.Flatten(), nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10))
batch = xpnn.data.Dataset(np.full((64, 28, 28, 1), 7, np.uint8), np.arange(64) % 10, scale=1 / 255)
history = xpnn.Trainer(model, optim.Adam(lr=1e-3)).fit(batch, epochs=1, progress=False)
assert 0 < history.rows[-1]["loss"] < 10
"""
OF_TORCH = """
import torch
from torch import nn
model = nn.Sequential(nn.Flatten(), nn.Linear(784, 300), nn.ReLU(), nn.Linear(300, 10)).to("{place}")
adam = torch.optim.Adam(model.parameters(), lr=1e-3)
x, y = torch.full((64, 1, 28, 28), 7 / 255, device="{place}"), (torch.arange(64) % 10).to("{place}")
loss = nn.CrossEntropyLoss()(model(x), y)
loss.backward()
adam.step()
assert 0 < loss.item() < 10
"""


def seconds(code: str, caches: str) -> float:
    """Of a process that runs this, with its compiled kernels in a folder of its own."""
    env = {**os.environ, "CUPY_CACHE_DIR": caches, "CUDA_CACHE_PATH": caches, "XPNN_CACHE": caches}
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or ["it ended early"])[-1])
    return took


def first_step(bench: Any) -> dict[str, Any]:
    """{"cold_s", "warm_s": median of three, "torch_s": the same of PyTorch}."""
    ours, theirs = FIRST_STEP.format(place=bench.place.device), OF_TORCH.format(place=bench.torch_device)
    with tempfile.TemporaryDirectory() as caches:
        found: dict[str, Any] = {"cold_s": seconds(ours, caches)}
        bench.tell(found)
        found["warm_s"] = median([seconds(ours, caches) for _ in range(3)])
        bench.tell(found)
        try:
            found["torch_s"] = min(seconds(theirs, caches) for _ in range(2))
            torch = f"PyTorch {found['torch_s']:.2f} s"
        except RuntimeError as error:
            torch = f"PyTorch: {error}"
    return {**found, "text": f"cold {found['cold_s']:.2f} s, warm {found['warm_s']:.2f} s; {torch}"}
