"""Rows in another process. A kernel that fails spoils CUDA for the whole process, and one that hangs never comes back:
then the process is ended, and the next row gets a new one.
"""

from __future__ import annotations

import importlib
import multiprocessing
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any


class Skip(Exception):
    """A row that cannot be run here, and why."""


@dataclass(frozen=True)
class Row:
    """name, run(bench) -> plain data, what must hold of it, seconds that it may take at the most."""

    name: str
    run: Callable[[Any], dict[str, Any]]
    musts: tuple[Any, ...] = ()
    limit_s: float = 60


def one_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def serve(pipe: Connection, module: str, settings: dict[str, Any]) -> None:
    """Run rows of a module as they are asked for. It has ROWS, `begin(settings, tell)`, which makes the bench, and
    `end(bench)` for what is left after a row.

    What a row tells on its way is kept should it not come to its end.
    """
    os.dup2(2, 1)  # libraries print; the table is for the parent alone
    rows = importlib.import_module(module)
    bench: Any = None
    while True:
        try:
            name = pipe.recv()
        except EOFError:
            return
        try:
            if bench is None:
                bench = rows.begin(settings, lambda found: pipe.send(("told", found)))
            row = next(row for row in rows.ROWS if row.name == name)
            found = row.run(bench)
            rows.end(bench)
            pipe.send(("done", found))
        except Skip as error:
            pipe.send(("skipped", str(error)))
        except Exception as error:
            pipe.send(("failed", one_line(error)))
            return  # whether CUDA still works here, nobody knows


class Isolated:
    """Runs rows one after the other: run(row) -> {"state", "seconds", "why", **what the row found}."""

    def __init__(self, module: str, settings: dict[str, Any]) -> None:
        self.module, self.settings = module, settings
        self._spawn = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
        self._process: Any = None
        self._pipe: Any = None

    def run(self, row: Row, limit_s: float | None = None) -> dict[str, Any]:
        start, limit_s = time.perf_counter(), row.limit_s if limit_s is None else limit_s
        told: dict[str, Any] = {}
        state: str = "failed"
        answer: Any = "its process ended"  # or, of a row that ended, what it found
        try:
            self._ready()
            self._pipe.send(row.name)
            while True:
                left = limit_s - (time.perf_counter() - start)
                if not self._pipe.poll(max(0.0, left)):
                    state, answer = "out of time", f"no answer within {limit_s:.0f} s"
                    break
                state, answer = self._pipe.recv()
                if state != "told":
                    break
                told, state, answer = {**told, **answer}, "failed", "its process ended"
        except (EOFError, BrokenPipeError, ConnectionResetError):
            pass
        if state not in ("done", "skipped"):
            self.close()
        found = {**told, **answer} if state == "done" else told
        why = "" if state == "done" else answer
        return {"name": row.name, **found, "state": state, "why": why, "seconds": time.perf_counter() - start}

    def _ready(self) -> None:
        if self._process is not None and self._process.is_alive():
            return
        self.close()
        self._pipe, theirs = self._spawn.Pipe()
        self._process = self._spawn.Process(target=serve, args=(theirs, self.module, self.settings), daemon=True)
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None


def skipped(row: Row, why: str) -> dict[str, Any]:
    """A row that was not begun."""
    return {"name": row.name, "state": "left out", "why": why, "seconds": 0.0}
