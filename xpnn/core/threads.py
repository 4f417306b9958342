"""How many threads compute: one number, for the kernels of every backend and for the BLAS that NumPy calls."""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path

from xpnn.core import backend
from xpnn.core.arithmetic import need_whole
from xpnn.errors import ConfigError

CGROUPS = Path("/sys/fs/cgroup")

_chosen: int | None = None


def set_num_threads(n: int) -> None:
    """Compute on n threads from here on, on every CPU backend: 1 <= n <= the CPUs that this process may run on.

    n counts the calling thread. It goes for calls from any Python thread, and for BLAS behind the "numpy" backend too.
    Sums may come out in another order, so results differ by rounding between numbers of threads, and by nothing for
    one. Call it between steps, not while another Python thread computes. ConfigError for an n out of range: the pool
    is as large as the machine when it starts; the environment variable NUMBA_NUM_THREADS makes it larger or smaller.
    """
    global _chosen
    n, most = need_whole("set_num_threads", n), _pool_size()
    if not 1 <= n <= most:
        raise ConfigError(f"set_num_threads: expected 1 to {most}, the threads of the pool; got {n}")
    _chosen = n
    from threadpoolctl import threadpool_limits  # 20 ms that only those pay who ask

    threadpool_limits(n, user_api="blas")
    for place in backend.created():
        place.set_num_threads(n)


def get_num_threads() -> int:
    """The number of threads that compute. Until it is set: NUMBA_NUM_THREADS where given, else one for every CPU that
    this process may use, container limits included."""
    return _chosen or _asked_for() or min(_pool_size(), usable_cpus())


def _asked_for() -> int:
    value = os.environ.get("NUMBA_NUM_THREADS", "")
    return int(value) if value.isdecimal() else 0


def _pool_size() -> int:
    """As Numba will have it: its own number, without importing it."""
    return _asked_for() or _cpus()


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def usable_cpus() -> int:
    """How many CPUs this process may use: its affinity, and the quota of its control group."""
    return max(1, ceil(min(_cpus(), _quota())))


def _quota() -> float:
    """CPUs that the control group grants (version 2: cpu.max; version 1: cpu/cpu.cfs_*), infinity without a limit."""
    least = float("inf")
    for name in ("cpu.max", "cpu/cpu.cfs_quota_us"):
        try:
            words = (CGROUPS / name).read_text().split()
            if name == "cpu/cpu.cfs_quota_us":
                words += (CGROUPS / "cpu/cpu.cfs_period_us").read_text().split()
            if words[0] not in ("max", "-1"):
                least = min(least, int(words[0]) / int(words[1]))
        except (OSError, ValueError, IndexError, ZeroDivisionError):
            continue
    return least
