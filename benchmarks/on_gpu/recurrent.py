"""LSTM forward and backward, recorded, beside cuDNN's through PyTorch."""

from __future__ import annotations

from functools import partial
from typing import Any

import xpnn
from xpnn import ops
from xpnn_benchmarks.on_gpu.contest import Lane, contest
from xpnn_benchmarks.on_gpu.training import choose
from xpnn_benchmarks.peers.works import Arrays, Work

CLOSE = {"fast": 1e-4, "tf32": 5e-3, "bf16": 5e-2}
"""Of gradients through 128 steps, relative to their size as a whole."""


def inputs(T: int, N: int, I: int, H: int) -> Arrays:
    return Work("", "recurrent", {"which": "lstm", "gates": 4, "T": T, "N": N, "I": I, "H": H}).inputs()


def flops(T: int, N: int, I: int, H: int) -> float:
    """Forward and backward, a multiply-add counted as two."""
    return 6 * T * N * 4 * H * (I + H)


def captured(a: Arrays, place: Any) -> Lane:
    leaves: dict[str, Any] = {
        name: xpnn.tensor(a[name], backend=place, requires_grad=True) for name in ("x", "w", "u", "b")
    }
    x, w, u, b = leaves.values()
    dy = xpnn.tensor(a["dy"], backend=place)

    def step() -> None:
        for leaf in (x, w, u, b):
            leaf.zero_grad()
        ops.lstm(x, w, u, b)[0].backward(dy)

    recorded = xpnn.capture(step)
    for _ in range(3):  # the third is a replay
        recorded()
    answers = {"y": ops.lstm(x, w, u, b)[0].numpy()}
    return Lane(recorded, answers | {f"d{name}": leaf.grad.numpy() for name, leaf in leaves.items()})


def lstm(bench: Any, sizes: tuple[int, int, int, int], precision: str) -> dict[str, Any]:
    """The row; sizes: T, N, I, H."""
    choose(precision)
    a = inputs(*sizes)
    makers = {"xpnn": partial(captured, a, bench.place), **bench.torch("recurrent", a, precision)}
    return contest(bench, makers, CLOSE[precision])
