"""How many threads a kernel may use: one pool, Numba's, for everything that is split.

BLAS has a pool of its own, and two pools that take turns wait for each other's idle threads, which spin: a BLAS product
followed by a parallel loop took 8.8 ms instead of 0.2 on two cores. So all products of kernels are ours (see `gemm`).
"""

from __future__ import annotations

import importlib.util
import os
import threading

from numba import config, set_num_threads

SPIN = "5000"
"""How long an idle thread of OpenMP spins before it sleeps; about 0.1 ms. By default it spins for milliseconds; where
another program has its partner's core, a step of 0.4 ms then took 24. An epoch of MNIST on a small network took, on two
quiet cores and on two of which one was kept busy: 0.70 and 1.2 s with 1000, 0.55 and 1.9 s with 5000 and more."""
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN)  # read when the pool is loaded, at the first split kernel


def _safe() -> bool:
    """May several Python threads enter the pool at once? Numba's "workqueue" would end the process."""
    if config.THREADING_LAYER == "workqueue":
        return False
    return any(importlib.util.find_spec(f"numba.np.ufunc.{layer}") for layer in ("tbbpool", "omppool"))


_usable = _safe()
_wanted = config.NUMBA_NUM_THREADS
_told = threading.local()


def _after_fork() -> None:
    global _usable
    _usable = False  # OpenMP ends a forked child that enters a pool which its parent had started


os.register_at_fork(after_in_child=_after_fork)


def use(n: int) -> None:
    """From here on kernels are split among n threads, at most as many as the pool has."""
    global _wanted
    _wanted = min(n, config.NUMBA_NUM_THREADS)


def threads(size: int = 0, least: int = 0) -> int:
    """The threads for a kernel that can be split; 1 for a size below `least`, and where the pool is not to be used."""
    if _wanted == 1 or not _usable or size < least:
        return 1
    if getattr(_told, "number", 0) != _wanted:  # Numba has a number for every Python thread
        set_num_threads(_wanted)
        _told.number = _wanted
    return _wanted
