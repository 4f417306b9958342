"""Kernels that move bytes, and products: many in one graph, on several sets of arrays, so that neither the start of a
launch nor a cache is what is measured. Compared with NumPy before.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np

import xpnn
from xpnn import ops, optim
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY
from xpnn.core.tape import apply
from xpnn_benchmarks.on_gpu.contest import Lane, contest
from xpnn_benchmarks.on_gpu.training import choose

HELD = 1 << 28
"""Numbers in the arrays of all sets together: 1 GB, far more than a GPU's caches hold."""
CLOSE = {"fast": 1e-5, "tf32": 1e-3, "bf16": 1e-2}
FEW, MANY = 4, 16
"""Sets at the least and at the most."""
STEPS = 10
"""Of an optimizer in one graph."""


class Kernel(NamedTuple):
    """shapes(n) of its arrays, the first of n numbers; the function; how often as much as the first array moves."""

    shapes: Callable[[int], tuple[tuple[int, ...], ...]]
    run: Callable[..., Any]
    passes: float


KERNELS = {
    "relu": Kernel(lambda n: ((n,),), ops.relu, 2),
    "add": Kernel(lambda n: ((n,), (n,)), lambda x, y: x + y, 3),
    "softmax": Kernel(lambda n: ((n // 1024, 1024),), ops.softmax, 2),
    "layer norm": Kernel(lambda n: ((n // 512, 512), (512,), (512,)), ops.layer_norm, 2),
    "batch norm": Kernel(lambda n: ((n // 65536, 32, 32, 64), (64,), (64,)), lambda x, g, b: _normalised(x, g, b), 2),
    "matmul": Kernel(lambda n: ((round(n**0.5),) * 2,) * 2, lambda x, y: x @ y, 3),
}


def _normalised(x: Any, gamma: Any, beta: Any) -> Any:
    """By its own mean and variance: the op of the layer, without the running averages."""
    return apply(REGISTRY["batch_norm"], x, gamma, beta, eps=1e-5)[0]


def sets_of(name: str, n: int) -> list[tuple[np.ndarray, ...]]:
    shapes = KERNELS[name].shapes(n)
    count = min(MANY, max(FEW, HELD // (3 * n)))
    rng = np.random.default_rng(0)
    return [tuple(rng.standard_normal(shape, np.float32) for shape in shapes) for _ in range(count)]


def on_device(name: str, sets: list[tuple[np.ndarray, ...]], place: Any) -> Lane:
    run = KERNELS[name].run
    given = [[xpnn.tensor(v, backend=place) for v in arrays] for arrays in sets]

    def step() -> None:
        for tensors in given:
            run(*tensors)

    return Lane(xpnn.capture(step), {"y": run(*given[0]).numpy()}, len(sets))


def kernel(bench: Any, name: str, n: int, precision: str = "fast") -> dict[str, Any]:
    """The row of one kernel, on arrays of n numbers."""
    choose(precision)
    sets = sets_of(name, n)
    want = KERNELS[name].run(*[xpnn.tensor(v, backend="numpy") for v in sets[0]]).numpy()
    makers = {"xpnn": partial(on_device, name, sets, bench.place), **bench.torch("kernel", name, sets, precision)}
    return contest(bench, makers, CLOSE[precision], {"y": want})


def updates(n: int, place: Any, steps: int) -> tuple[Any, Any]:
    """(a parameter of n numbers after so many steps of Adam, the optimizer)."""
    rng = np.random.default_rng(0)
    start, gradient = (rng.standard_normal(n, np.float32) for _ in range(2))
    with xpnn.use(place):
        p = xpnn.Parameter(xpnn.tensor(start).data, backends.get(place))
        adam = optim.Adam([p], lr=1e-3)
        (p * xpnn.tensor(gradient)).sum().backward()
    for _ in range(steps):
        adam.step()
    return p, adam


def adam(bench: Any, n: int) -> dict[str, Any]:
    """The row of an optimizer's step over one arena."""
    choose("fast")

    def ours() -> Lane:
        p, method = updates(n, bench.place, 3)

        def step() -> None:
            for _ in range(STEPS):
                method.step()

        return Lane(xpnn.capture(step), {"p": p.numpy().copy()}, STEPS)

    want = updates(n, backends.get("numpy"), 3)[0].numpy().copy()
    return contest(bench, {"xpnn": ours, **bench.torch("adam", n)}, CLOSE["fast"], {"p": want})
