"""The recurrent ops by name, and inputs for them: some sequences of unequal length."""

from __future__ import annotations

import numpy as np

import xpnn
from xpnn import ops

PLACES = ["numpy", "numba"]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
STATES = {"rnn": ("h0",), "lstm": ("h0", "c0"), "gru": ("h0",)}
N, T, I, H = 5, 6, 3, 4
LENGTHS = np.array([6, 0, 1, 4, 3])


def inputs(name, place="numpy", dtype="float64", shape=(N, T, I, H)):
    """Everything an op takes but for lengths, by name, as tensors that want a gradient."""
    N, T, I, H = shape
    rng, wide = np.random.default_rng(len(name)), GATES[name] * H
    shapes = {"x": (N, T, I), "w": (I, wide), "u": (H, wide), "b": (wide,)}
    shapes |= {"bn": (H,)} if name == "gru" else {}
    shapes |= dict.fromkeys(STATES[name], (N, H))
    return {k: xpnn.tensor(rng.normal(size=s), dtype, place, requires_grad=True) for k, s in shapes.items()}


def run(name, given, **settings):
    return getattr(ops, name)(**given, **settings)


def results(name, given, lengths, reverse=False):
    """Outputs and gradients of one call, by name."""
    outs = run(name, given, lengths=lengths, reverse=reverse)
    rng = np.random.default_rng(0)
    sum((y * rng.normal(size=y.shape).astype(y.dtype)).sum() for y in outs).backward()
    return {f"out {i}": y.numpy() for i, y in enumerate(outs)} | {f"d{k}": t.grad.numpy() for k, t in given.items()}
