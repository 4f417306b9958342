"""The machine of a run: what it is, what it can do at best, and how steady it was while it measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter
from typing import Any

import numpy as np

import xpnn
from xpnn.core.contract import Backend
from xpnn.core.threads import usable_cpus
from xpnn_benchmarks import ceiling

LIBRARIES = ("numpy", "numba", "llvmlite", "cupy-cuda12x", "cupy-cuda13x", "nvmath-python")
SIZE, REPEATED, GLANCE_S = 4096, 200, 0.5
UNSTEADY = 0.1
"""Of the same arithmetic's times: a spread or a drift beyond this makes a run noisy."""


def describe(places: Iterable[Backend]) -> dict[str, Any]:
    """What the numbers depend on, as plain data."""
    return {
        "cpu": _cpu(),
        "cpus": usable_cpus(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
        if hasattr(os, "sysconf")
        else None,
        "gpu": {place.device: _gpu(place) for place in places if not place.on_host},
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {"xpnn": xpnn.__version__, **versions(LIBRARIES)},
        "threads": {"xpnn": xpnn.get_num_threads(), "blas": _blas_threads()},
        "load": round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
    }


def _cpu() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _gpu(place: Backend) -> str:
    with place.here():
        properties = __import__("cupy").cuda.runtime.getDeviceProperties(int(place.device.partition(":")[2] or 0))
    return properties["name"].decode()


def versions(libraries: Iterable[str]) -> dict[str, str]:
    """Of those that are installed."""
    found = {}
    for name in libraries:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _blas_threads() -> int | None:
    from threadpoolctl import threadpool_info

    return next((pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"), None)


def ceilings(places: Iterable[Backend]) -> dict[str, dict[str, float]]:
    """By backend; those on the host share theirs."""
    host: dict[str, float] = {}
    found = {}
    for place in places:
        if place.on_host:
            host = host or ceiling.of(place)
        found[place.device] = host if place.on_host else ceiling.of(place)
    return found


def steadiness() -> dict[str, float]:
    """The same arithmetic again and again: its median time, and the distance of its quartiles relative to that.

    On one thread and in a cache: that of two threads varies by how they wake each other, on a quiet machine too.
    """
    a = np.ones(SIZE, np.float32)
    out = np.empty_like(a)
    took: list[float] = []
    end = perf_counter() + GLANCE_S
    while perf_counter() < end:
        start = perf_counter()
        for _ in range(REPEATED):
            np.multiply(a, a, out)
        took.append(perf_counter() - start)
    low, _, high = quantiles(took, n=4)
    return {"median_s": median(took), "spread": (high - low) / median(took)}


def noise(before: dict[str, float], after: dict[str, float]) -> dict[str, Any]:
    """Both looks, how much longer the same took at the end, and a verdict: "" or why the run was noisy."""
    drift = after["median_s"] / before["median_s"]
    spread = max(before["spread"], after["spread"])
    said = []
    if spread > UNSTEADY:
        said.append(f"the same work varied by {spread:.0%} within half a second")
    if not 1 / (1 + UNSTEADY) < drift < 1 + UNSTEADY:
        said.append(f"at the end the same work took {drift:.2g} times as long as at the start")
    return {"before": before, "after": after, "drift": drift, "spread": spread, "noisy": "; ".join(said)}
