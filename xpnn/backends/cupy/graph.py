"""The launches of a recorded step as one CUDA graph: the driver is told of them once, and then only to begin.

Nothing runs while they are captured, so nothing has to be put back afterwards: arrays and launches are those of the
recording, which keeps them, and a graph takes their place. Memory that array code wants in between comes from a pool
that lives as long as the graph; addresses that a graph has written down are never given to anyone else.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from xpnn.backends.cupy.causes import brief
from xpnn.errors import BackendError

if TYPE_CHECKING:
    from xpnn.backends.cupy import CupyBackend


class Graph:
    """One call instead of many. It keeps them, and with them the arrays whose addresses it has."""

    __slots__ = ("backend", "calls", "graph", "pool")

    def __init__(self, backend: CupyBackend, calls: Sequence[Callable[[], Any]]) -> None:
        cuda = backend.cupy.cuda
        self.backend, self.calls = backend, tuple(calls)
        self.pool = cuda.MemoryPool()
        stream = cuda.Stream(non_blocking=True)  # the legacy stream cannot be captured
        with stream, cuda.using_allocator(self.pool.malloc):
            stream.begin_capture()
            try:
                for call in calls:
                    call()
            finally:
                self.graph = stream.end_capture()

    def __call__(self) -> None:
        with self.backend.here():
            self.graph.launch()


class Launches:
    """The same calls, one by one."""

    __slots__ = ("backend", "calls")

    def __init__(self, backend: CupyBackend, calls: Sequence[Callable[[], Any]]) -> None:
        self.backend, self.calls = backend, tuple(calls)

    def __call__(self) -> None:
        with self.backend.here("a recorded step"):
            for call in self.calls:
                call()


def bundled(backend: CupyBackend, calls: Sequence[Callable[[], Any]]) -> Graph | Launches:
    """A graph of the calls, or what makes them one by one, where they cannot be captured: a warning says why."""
    if len(calls) > 1:
        try:
            with backend.here("the capture of a step"):
                return Graph(backend, calls)
        except Exception as error:  # what a library refuses under capture, it refuses in ways of its own
            reason = brief(error) if isinstance(error, BackendError) else f"{type(error).__name__}: {brief(error)}"
            warnings.warn(
                f"xpnn: on {backend.device} a recorded step goes launch by launch, as no graph can be made of it: "
                f"{reason}",
                RuntimeWarning,
                stacklevel=2,
            )
    return Launches(backend, calls)
