"""The rows, the most important first, and the bench that they are run on."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

from xpnn_benchmarks.on_gpu import checks, device, kernels, learning, recurrent, starting, training
from xpnn_benchmarks.on_gpu.clock import Clock, Events
from xpnn_benchmarks.on_gpu.contest import Makers
from xpnn_benchmarks.on_gpu.isolation import Row
from xpnn_benchmarks.on_gpu.verdict import at_most, reported, share, times
from xpnn_benchmarks.peers import works

ROUNDS, QUICK_ROUNDS = 8, 3
COMPILED = ("graph", "compiled")
LSTM = (128, 64, 512, 512)  # T, N, I, H


class Bench:
    """Where rows are run, how often, and who is told on the way."""

    torch_device = "cuda"

    def __init__(self, place: Any, clock: Clock, quick: bool, tell: Callable[[dict[str, Any]], None]) -> None:
        self.place, self.clock, self.quick, self.tell = place, clock, quick, tell
        self.rounds = QUICK_ROUNDS if quick else ROUNDS

    def torch(self, kind: str, *arguments: Any) -> Makers:
        """PyTorch's lanes for this kind of work; where it is missing, one that says so."""
        try:
            from xpnn_benchmarks.on_gpu import with_torch
        except ImportError as error:
            return {"torch": partial(_raise, error)}
        makers: Makers = getattr(with_torch, kind)(self, *arguments)
        return makers


def _raise(error: Exception) -> Any:
    raise error


def begin(settings: dict[str, Any], tell: Callable[[dict[str, Any]], None]) -> Bench:
    place = device.real()
    return Bench(place, Events(place), settings["quick"], tell)


def end(bench: Bench) -> None:
    """Give the memory back, which CuPy and PyTorch each keep for themselves."""
    gc.collect()
    bench.place.cupy.get_default_memory_pool().free_all_blocks()
    if "torch" in sys.modules:
        sys.modules["torch"].cuda.empty_cache()


def machine(bench: Bench) -> dict[str, Any]:
    """The first row: what everything else is measured against."""
    found: dict[str, Any] = {"machine": device.describe(bench.place)}
    bench.tell(found)
    return {**found, "ceilings": device.ceilings(bench.place, bench.clock)}


def _unit(precision: str) -> str:
    """The ceiling of products."""
    return "float32" if precision == "fast" else precision


def _network(name: str, model: str, batch: int, precision: str, us: float) -> Row:
    flops = next(work.flops for work in works.WORKS if work.sizes.get("model") == model) / works.EPOCH * batch
    musts = at_most(us, "us"), times(5, "eager"), times(1.5, *COMPILED), share(None, flops, _unit(precision))
    run = partial(training.network, model=model, batch=batch, precision=precision)
    return Row(f"{name}, batch {batch}, {precision}", run, musts, 90)


def _lstm(precision: str, ms: float | None) -> Row:
    limit = () if ms is None else (at_most(ms, "ms"),)
    musts = (*limit, times(1, "eager", *COMPILED), share(None, recurrent.flops(*LSTM), _unit(precision)))
    name = "LSTM T=128 N=64 I=512 H=512, forward and backward"
    return Row(f"{name}, {precision}", partial(recurrent.lstm, sizes=LSTM, precision=precision), musts, 60)


def _kernel(name: str, n: int) -> Row:
    kernel = kernels.KERNELS[name]
    shapes = kernel.shapes(n)
    musts = (share(80, 4 * kernel.passes * prod(shapes[0]), "copy"),)
    return Row(f"{name}, {_count(n)} numbers", partial(kernels.kernel, name=name, n=n), musts, 40)


def _product(side: int, precision: str) -> Row:
    musts = share(80, 2 * side**3, _unit(precision)), times(1, *COMPILED)
    run = partial(kernels.kernel, name="matmul", n=side * side, precision=precision)
    return Row(f"product {side}x{side}x{side}, {precision}", run, musts, 40)


def _adam(n: int) -> Row:
    musts = share(80, 4 * 7 * n, "copy"), times(1, *COMPILED)
    return Row(f"adam, {_count(n)} parameters", partial(kernels.adam, n=n), musts, 40)


def _learning(precision: str) -> Row:
    musts = (reported(2, "training", "s", "to_goal_s"),)
    return Row(f"MNIST CNN to 99 %, {precision}", partial(learning.mnist, precision=precision), musts, 60)


def _count(n: int) -> str:
    return f"{n >> 20}M"


MOVING = ("relu", "add", "softmax", "layer norm", "batch norm")
SMALL, LARGE = 1 << 20, 1 << 24
FIRST_STEP = Row("first step of a process", starting.first_step, (reported(2, "warm", "s", "warm_s"),), 60)
ROWS = (
    Row("machine and ceilings", machine, (), 60),
    *[Row(f"check: {name}", check, (), checks.LIMITS_S.get(name, 40)) for name, check in checks.ROWS.items()],
    _network("MLP 784-300-10", "mlp", 64, "fast", 25),
    _network("MNIST CNN", "cnn", 512, "fast", 120),
    _lstm("fast", None),
    *[_product(1024, precision) for precision in training.PRECISIONS],
    *[_kernel(name, LARGE) for name in MOVING],
    _adam(LARGE),
    _learning("fast"),
    FIRST_STEP,
    _network("MNIST CNN", "cnn", 512, "bf16", 120),
    _lstm("tf32", 2.0),
    _lstm("bf16", 1.0),
    _network("MNIST CNN", "cnn", 512, "tf32", 120),
    _learning("bf16"),
    *[_kernel(name, SMALL) for name in MOVING],
    _adam(SMALL),
    *[_product(2048, precision) for precision in training.PRECISIONS],
    _network("LeNet-5", "lenet5", 512, "fast", 120),
)
