"""What a machine can do at best: operations a second of a large product, bytes a second of a large copy."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.contract import Backend
from xpnn.core.threads import usable_cpus

SECONDS = 0.5
SIZE, ON_GPU = 1024, 8  # float32: 4 MB a matrix on a host, so many times as wide on a GPU
COPIED = 1 << 24  # float32: 64 MB, more than most caches


def best(run: Callable[[], Any], seconds: float = SECONDS) -> float:
    """The shortest time of a run."""
    run()
    took: list[float] = []
    end = perf_counter() + seconds
    while not took or perf_counter() < end:
        start = perf_counter()
        run()
        took.append(perf_counter() - start)
    return min(took)


def of(place: Backend) -> dict[str, float]:
    """The ceilings of a backend, {"gflops", "gbytes"}: those of the host, or of its GPU."""
    return _host() if place.on_host else _device(place)


def _host() -> dict[str, float]:
    """The better of NumPy's BLAS and our product; a copy by as many threads as there are CPUs."""
    from xpnn_kernels.numba import gemm

    backends.get("numba").threads()
    rng = np.random.default_rng(0)
    a, b, out = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(3))
    product = min(best(partial(multiply, a, b, out)) for multiply in (gemm.matmul, np.matmul))
    source, copy = np.ones(COPIED, np.float32), np.ones(COPIED, np.float32)
    threads = usable_cpus()
    parts = list(zip(np.array_split(copy, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        copied = best(lambda: list(pool.map(lambda part: np.copyto(*part), parts)))
    return _rates(SIZE, product, source.nbytes, copied)


def _device(place: Backend) -> dict[str, float]:
    """cuBLAS in float32, and the device's own copy."""
    size, xp = SIZE * ON_GPU, place.xp
    with place.here():
        a, b = xp.ones((size, size), np.float32), xp.ones((size, size), np.float32)
        source, copy = xp.ones(COPIED * ON_GPU, np.float32), xp.ones(COPIED * ON_GPU, np.float32)

        def timed(run: Callable[[], Any]) -> float:
            def wait() -> None:
                run()
                place.synchronize()

            return best(wait)

        return _rates(size, timed(lambda: a @ b), source.nbytes, timed(lambda: place.set(copy, source)))


def _rates(size: int, product_s: float, nbytes: int, copy_s: float) -> dict[str, float]:
    """A copy reads and writes."""
    return {"gflops": 2e-9 * size**3 / product_s, "gbytes": 2e-9 * nbytes / copy_s}


if __name__ == "__main__":
    print(json.dumps(of(backends.get("numba"))))
