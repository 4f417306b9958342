"""CPU kernels compiled by Numba where one is bound, NumPy elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import cycle

import numpy as np

from xpnn.core.contract import Backend
from xpnn.core.op import Array, Spec
from xpnn.core.recording import LINE
from xpnn.core.threads import get_num_threads
from xpnn.errors import BackendError

LARGE = 1 << 16
"""Bytes from which on it pays to look where an array begins: 3 us."""
PAGE = 4096
_places = cycle(range(0, PAGE, 16 * LINE))


class NumbaBackend(Backend):
    name = "numba"
    xp = np
    bindings = "xpnn.backends.numba"
    replays = True

    def __init__(self) -> None:
        super().__init__()
        self.set_num_threads(get_num_threads())

    def empty(self, spec: Spec) -> Array:
        """An unset array; a large one begins on a cache line, so that no vector of a kernel lies on two, and each at
        another place in its page: arrays that are walked together do not compete for the same places in the cache."""
        if spec.nbytes < LARGE:
            return np.empty(spec.shape, spec.dtype)
        memory = np.empty(spec.nbytes + PAGE, np.uint8)
        start = (next(_places) - memory.__array_interface__["data"][0]) % PAGE
        return np.ndarray(spec.shape, spec.dtype, memory, start)

    def threads(self) -> int:
        return self._pool.threads()

    def set_num_threads(self, n: int) -> None:
        from xpnn_kernels.numba import threads  # imports Numba

        super().set_num_threads(n)
        self._pool = threads
        threads.use(n)

    def ready(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Contiguous arrays: a kernel is compiled once, for that layout. None (not kept, not wanted) passes."""
        return tuple([a if a is None or a.flags.c_contiguous else np.ascontiguousarray(a) for a in arrays])


def create(index: int) -> Backend:
    if index:
        raise BackendError(f"backend 'numba:{index}': numba has one device only; use 'numba'")
    try:
        from xpnn.backends.numba import announce
    except ImportError as error:
        raise BackendError(f"backend 'numba': Numba cannot be imported ({error}); pip install numba") from None
    announce.start()
    return NumbaBackend()
