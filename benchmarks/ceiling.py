"""What the machine can do: floating-point operations a second of a large product, bytes a second of a large copy."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import worker

SIZE, COPIED = 1024, 1 << 24  # float32: 4 MB a matrix; 64 MB, more than most caches


def gflops() -> float:
    """The better of NumPy's BLAS and our product, on all threads."""
    from xpnn_kernels.numba import gemm

    rng = np.random.default_rng(0)
    a, b, out = (rng.standard_normal((SIZE, SIZE)).astype(np.float32) for _ in range(3))
    best = min(worker.turn(lambda f=f: f(a, b, out), 0.5) for f in (gemm.matmul, np.matmul))
    return 2e-9 * SIZE**3 / best


def gbytes() -> float:
    """Read and written, by as many threads as there are CPUs."""
    threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    source, out = np.ones(COPIED, np.float32), np.ones(COPIED, np.float32)
    parts = list(zip(np.array_split(out, threads), np.array_split(source, threads), strict=True))
    with ThreadPoolExecutor(threads) as pool:
        best = worker.turn(lambda: list(pool.map(lambda part: np.copyto(*part), parts)), 0.5)
    return 1e-9 * 2 * source.nbytes / best


if __name__ == "__main__":
    print(gflops(), gbytes())
