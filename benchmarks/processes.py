"""Processes that are compared with each other: as many threads for each as xpnn has, on the same CPUs.

The CPUs are the first of those that this process may use, and a child inherits them. The number of threads is told by
the environment variables that the libraries read as they start: NumPy's and scikit-learn's BLAS, PyTorch and Numba
their own; XLA asks for NPROC, and for the CPUs where it is not told; tinygrad for NUM_CPU_THREADS.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xpnn import get_num_threads

THREADS = (
    "NUMBA_NUM_THREADS",
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NPROC",
    "NUM_CPU_THREADS",
)


class Ended(Exception):
    """A process did not answer; the last line that it wrote on stderr."""


class Child:
    """A Python process that answers a line with a line. It is killed where an exception leaves the `with` block."""

    def __init__(self, *arguments: str, **environment: str) -> None:
        threads, pipe = get_num_threads(), subprocess.PIPE
        env = {**os.environ, **dict.fromkeys(THREADS, str(threads)), **environment}
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - as long as the process
        with _on(threads):
            self._process = subprocess.Popen(
                [sys.executable, *arguments], env=env, stdin=pipe, stdout=pipe, stderr=self._errors, text=True
            )

    def ask(self, line: str = "") -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()
            answer = self._process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if answer:
            return answer
        self._errors.seek(0)
        lines = self._errors.read().strip().splitlines() or ["the process ended"]
        raise Ended(lines[-1])

    def resident_mb(self) -> float | None:
        """Memory that it holds now, in 10^6 bytes; None where there is no /proc to ask."""
        path = Path(f"/proc/{self._process.pid}/statm")
        return int(path.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if path.exists() else None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if kind is not None:
            self._process.kill()
        try:
            self._process.communicate()
        finally:
            self._errors.close()


@contextmanager
def _on(count: int) -> Iterator[None]:
    """What starts in here runs on the first of our CPUs, so many; elsewhere than on Linux, on any."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(all_of_them)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)
