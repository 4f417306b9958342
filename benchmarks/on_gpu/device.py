"""The GPU: is it a real one, what is it, and what can it do at best."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.contract import Backend
from xpnn.errors import BackendError
from xpnn_benchmarks.machine import versions
from xpnn_benchmarks.on_gpu.clock import Clock, measure

LIBRARIES = (
    *("xpnn", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python", "torch", "triton", "jax"),
    *("nvidia-cublas", "nvidia-cublas-cu12", "nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12"),
)
COPIED, SIZE = 1 << 30, 8192
"""Bytes, and the sides of the matrices: far more than a GPU's caches hold."""


def real() -> Backend:
    """The CUDA backend on a GPU. BackendError where there is none, and on anything that only looks like CuPy: what
    computes on the host must not be taken for a GPU."""
    place = backends.get("cuda")
    core = getattr(sys.modules.get("cupy._core.core"), "__file__", None) or ""
    if not core.endswith((".so", ".pyd")):
        raise BackendError("on_gpu: expected CuPy on a real GPU; got a stand-in for it. No figures are made of that")
    return place


def describe(place: Any) -> dict[str, Any]:
    """What the numbers depend on, as plain data."""
    runtime = place.cupy.cuda.runtime
    properties = runtime.getDeviceProperties(place.index)
    return {
        "gpu": properties["name"].decode(),
        "multiprocessors": properties["multiProcessorCount"],
        "compute_capability": f"{properties['major']}.{properties['minor']}",
        "memory_gb": round(properties["totalGlobalMem"] / 2**30, 1),
        "l2_mb": round(properties["l2CacheSize"] / 2**20, 1),
        "cuda_of_driver": runtime.driverGetVersion(),
        "cuda_of_cupy": runtime.runtimeGetVersion(),
        "state": _state(),
        "python": platform.python_version(),
        "versions": versions(LIBRARIES),
    }


def _state() -> str:
    """The driver's version, and clocks and power as they are now."""
    wanted = "driver_version,clocks.sm,clocks.max.sm,clocks.mem,power.draw,temperature.gpu"
    command = ["nvidia-smi", f"--query-gpu={wanted}", "--format=csv,noheader"]
    try:
        lines = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.splitlines()
    except (OSError, subprocess.SubprocessError) as error:
        return f"nvidia-smi: {type(error).__name__}"
    return f"{wanted}: {lines[0]}" if lines else "nvidia-smi says nothing"


def ceilings(place: Any, clock: Clock) -> dict[str, float]:
    """Bytes a second of a large copy, read and written; operations a second of a large product on random data by
    cuBLAS: in float32, and through PyTorch in tf32 and bf16."""
    cupy = place.cupy
    arrays = [cupy.ones(COPIED // 4, np.float32) for _ in range(2)]
    found = {"copy": 2 * COPIED / _seconds(lambda: cupy.copyto(*arrays), clock)}
    arrays.clear()
    cupy.get_default_memory_pool().free_all_blocks()
    return found | _products(clock)


def _seconds(step: Any, clock: Clock) -> float:
    return 1e-6 * measure({"it": (step, 1)}, clock, rounds=3, seconds=0.1)["it"]["us"]


def _products(clock: Clock) -> dict[str, float]:
    try:
        import torch
    except ImportError:
        return {}
    found = {}
    for name, dtype, tf32 in (
        ("float32", torch.float32, False),
        ("tf32", torch.float32, True),
        ("bf16", torch.bfloat16, False),
    ):
        torch.backends.cuda.matmul.allow_tf32 = tf32
        a, b = (torch.randn(SIZE, SIZE, device="cuda", dtype=dtype) for _ in range(2))
        out = torch.empty_like(a)
        step = lambda a=a, b=b, out=out: torch.mm(a, b, out=out)  # noqa: E731
        found[name] = 2 * SIZE**3 / _seconds(step, clock)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.cuda.empty_cache()
    return found
