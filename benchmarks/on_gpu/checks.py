"""What to look at first on a GPU that has never run this: what the CPU execution of the kernels and the stand-in for
CuPy cannot show. Each check is a row: it says what it saw, or fails and says what is wrong.
"""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

import xpnn
from xpnn import ops
from xpnn.backends.cupy import blas, formats, module, recurrent
from xpnn.core import backend as backends
from xpnn.core.op import Spec
from xpnn.errors import BackendError
from xpnn_benchmarks.on_gpu import replays
from xpnn_benchmarks.on_gpu.replays import Wrong, need


def attributes(place: Any) -> str:
    """The names by which CuPy is asked for a GPU's limits exist, and say what its properties say."""
    count, shared = module.limits()
    known = place.cupy.cuda.runtime.getDeviceProperties(place.index)
    need(
        count == known["multiProcessorCount"], f"{count} multiprocessors; {known['multiProcessorCount']} by properties"
    )
    need(shared >= 48 << 10, f"{shared} bytes of shared memory for a block")
    return f"{count} multiprocessors, {shared >> 10} KB of shared memory for a block"


def compiling(place: Any) -> str:
    """Every float32 kernel that this GPU has compiles with the include paths of this machine, loads, has no local
    memory."""
    start, count, spilled, architecture = perf_counter(), 0, [], formats.architecture(place.index)
    for source in module.declared():
        for name in source.instantiations:
            if "<double" in name or not formats.has(architecture, name):
                continue
            kernel, count = source.load(name, place.index), count + 1
            if kernel.raw.local_size_bytes:
                spilled.append(f"{source.stem}: {name} {kernel.raw.local_size_bytes} bytes")
    need(not spilled, f"local memory in {len(spilled)} kernels: {'; '.join(spilled[:3])}")
    return f"{count} kernels in {perf_counter() - start:.1f} s"


def cooperative(place: Any) -> str:
    """A launch with barriers over the whole grid, by itself and in a graph."""
    rng = np.random.default_rng(0)
    N, T, I, H = 32, 8, 20, 64
    arrays = [0.3 * rng.standard_normal(s).astype("f4") for s in ((N, T, I), (I, 4 * H), (H, 4 * H), (4 * H,))]
    on_host: Any = [xpnn.tensor(a, backend="numpy") for a in arrays]
    want = ops.lstm(*on_host)[0].numpy()
    given: Any = [xpnn.tensor(a, backend=place) for a in arrays]
    alone = ops.lstm(*given)[0].numpy()
    captured = xpnn.capture(lambda: ops.lstm(*given)[0])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        replayed = [captured().numpy() for _ in range(4)][-1]
    gap = float(np.max(np.abs(alone - want)))
    need(gap <= 1e-5, f"differs from NumPy by {gap:.1e}")
    need(np.array_equal(alone, replayed), "in a graph it gives other numbers")
    return f"within {gap:.0e} of NumPy; {_large()}"


def _large() -> str:
    """Which sizes of an LSTM go in one launch here, and not step by step?"""
    sizes = {"float": 512, "Tf32": 512, "Bf16": 1024}
    said = []
    for form, H in sizes.items():
        how = "in one launch" if recurrent.resident("backward", form, 4, H, 64) else "step by step"
        said.append(f"{H} units of {form} {how}")
    return ", ".join(said)


def library(place: Any) -> str:
    """Large products by cuBLASLt: there, right, right in a graph."""
    if blas.library(place.index) is None:
        importlib.import_module("nvmath.bindings.cublasLt")  # says what is missing
        raise Wrong("cuBLASLt is there and cannot be used")
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((512, 640), np.float32), rng.standard_normal((640, 512), np.float32)
    x, y = xpnn.tensor(a, backend=place), xpnn.tensor(b, backend=place)
    captured = xpnn.capture(lambda: (x @ y) @ (x @ y))
    results = [captured().numpy() for _ in range(4)]
    want = (a.astype("f8") @ b) @ (a.astype("f8") @ b)
    gap = float(np.max(np.abs(results[0] - want)) / np.max(np.abs(want)))
    need(gap < 1e-5, f"a product differs by {gap:.1e}")
    need(np.array_equal(results[0], results[-1]), "in a graph it gives other numbers")
    return f"products within {gap:.0e}"


def nan(place: Any) -> str:
    """NaN in gives NaN out, and nowhere else: also through the epilogues of a library."""
    for size in (48, 512):
        x, w, b = (np.ones(s, "f4") for s in ((size, size), (size, size), (size,)))
        x[3, 5] = np.nan
        for activation in (None, "relu", "gelu"):
            found = []
            for where in (place, backends.get("numpy")):
                leaves = [xpnn.tensor(v, backend=where, requires_grad=True) for v in (x, w, b)]
                y = ops.dense(leaves[0], leaves[1], leaves[2], activation)
                y.backward(xpnn.tensor(np.ones((size, size), "f4"), backend=where))
                found.append([np.isnan(t.numpy()) for t in (y, *[leaf.grad for leaf in leaves]) if t is not None])
            for name, got, want in zip(("y", "dx", "dw", "db"), *found, strict=True):
                need(
                    np.array_equal(got, want), f"dense {size}, {activation}: NaN in {name} is not where it is on NumPy"
                )
    return "dense with and without activations, of 48 and 512"


def shortage(place: Any) -> str:
    try:
        place.empty(Spec((1 << 44,), np.dtype(np.float32)))
    except BackendError as error:
        return str(error)
    raise Wrong("64 TB were given")


def subnormal(place: Any) -> str:
    """What is compiled with -ftz=true takes them for zero; NumPy does not."""
    x = xpnn.tensor(np.full(4, 1e-40, "f4"), backend=place)
    kept = {"relu": ops.relu(x), "x + x": x + x, "tanh": ops.tanh(x)}
    return ", ".join(f"{name} {'keeps' if y.numpy()[0] else 'flushes'}" for name, y in kept.items()) + " 1e-40"


CHECKS: dict[str, Callable[[Any], str]] = {
    "limits of the GPU by their names": attributes,
    "every kernel compiles and loads": compiling,
    "a step is one graph": replays.one_graph,
    "a graph gives what its launches give": replays.same_as_eager,
    "a graph on the legacy stream": replays.order,
    "the memory of a graph": replays.own_memory,
    "cooperative launches": cooperative,
    "cuBLASLt": library,
    "NaN": nan,
    "copies in a replayed step": replays.no_copies,
    "one seed, the same bits": replays.same_twice,
    "a training as on NumPy": replays.as_on_numpy,
    "lack of memory": shortage,
    "subnormal numbers": subnormal,
}
LIMITS_S = {"every kernel compiles and loads": 90}
"""Of those that may take longer than a check does."""


def _row(check: Callable[[Any], str], bench: Any) -> dict[str, Any]:
    xpnn.precision("fast")
    return {"text": check(bench.place)}


ROWS = {name: partial(_row, check) for name, check in CHECKS.items()}
