"""How many threads a kernel may use: one pool, Numba's, for everything that is split.

BLAS has a pool of its own, and two pools that take turns wait for each other's idle threads, which spin: a BLAS product
followed by a parallel loop took 8.8 ms instead of 0.2 on two cores. So either the products are ours (see `gemm`) and
the pool serves all kernels, or they are BLAS's and every kernel here runs on the caller's thread.
"""

from __future__ import annotations

import importlib.util
import os

from numba import config, get_num_threads

from xpnn_kernels.numba import simd

OURS = simd.WIDTH == 64
"""With AVX-512 the products of `gemm` are as fast as good BLAS ones; with narrower vectors 0.7 to 1.0 times as fast."""


SPIN = "1000"
"""How long an idle thread of OpenMP spins before it sleeps. By default it spins for milliseconds; where another program
has its partner's core, a step of 0.4 ms then took 24. This bound costs 10 % on a quiet machine, and nothing worse."""
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", SPIN)  # read when the pool is loaded, at the first split kernel


def _safe() -> bool:
    """May several Python threads enter the pool at once? Numba's "workqueue" would end the process."""
    if config.THREADING_LAYER == "workqueue":
        return False
    return any(importlib.util.find_spec(f"numba.np.ufunc.{layer}") for layer in ("tbbpool", "omppool"))


_usable = OURS and _safe()


def _after_fork() -> None:
    global _usable
    _usable = False  # OpenMP ends a forked child that enters a pool which its parent had started


os.register_at_fork(after_in_child=_after_fork)


def threads() -> int:
    """The threads for a kernel that can be split; 1 where the pool is not to be used."""
    return get_num_threads() if _usable else 1
