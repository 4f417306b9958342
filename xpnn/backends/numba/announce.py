"""Says on stderr what is being compiled: seconds of silence look like a hang."""

from __future__ import annotations

import sys
import threading

from numba.core import event


class _Announcer(event.Listener):
    """The event comes for real compilations, not for what the disk cache had; helpers are compiled inside it."""

    def __init__(self) -> None:
        super().__init__()
        self._thread = threading.local()  # threads compile at the same time, each with helpers of its own

    def on_start(self, event) -> None:
        function = event.data["dispatcher"].py_func
        depth = getattr(self._thread, "depth", 0)
        if depth == 0 and function.__module__.startswith("xpnn_kernels."):
            name = function.__module__.rpartition(".")[2]
            print(f"xpnn: compiling {name}.{function.__name__} (once; kept on disk)", file=sys.stderr, flush=True)
        self._thread.depth = depth + 1

    def on_end(self, event) -> None:
        self._thread.depth -= 1


def start() -> None:
    """From here on, for the whole process."""
    event.register("numba:compile", _Announcer())
