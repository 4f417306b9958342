"""Ctrl-C in a training: the update under way ends, everything is saved, and a line says how to go on."""

from __future__ import annotations

import contextlib
import shlex
import signal
import threading
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from xpnn.train import Checkpoint, Trainer

INTERRUPTED = 130  # 128 + SIGINT, as shells have it


class Interruptible:
    """Inside, the first Ctrl-C lets the update under way end; the second raises KeyboardInterrupt as ever."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.caught, self.at_once = trainer, False, False

    def __enter__(self) -> Interruptible:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _stop(self, *_: object) -> None:
        if self.caught:
            raise KeyboardInterrupt
        self.caught = self.trainer.stop = True


def interrupted(ctx: typer.Context, trainer: Trainer, saver: Checkpoint | None, at_once: bool) -> typer.Exit:
    """Save where training is, unless it broke off inside an update; say how to go on."""
    where = f"xpnn: interrupted in epoch {trainer.epoch + 1} after {trainer.step:,} updates"
    if saver is None:
        typer.echo(f"{where}; nothing is saved. With --checkpoint FILE a run can go on", err=True)
        return typer.Exit(INTERRUPTED)
    last = saver.last
    if not at_once:
        with contextlib.suppress(KeyError):  # a file name that asks for what only the end of an epoch has
            now = saver.path.format(epoch=trainer.epoch, step=trainer.step)
            trainer.save(now)
            last = now
    if last is None:
        typer.echo(f"{where}; nothing is saved yet", err=True)
    else:
        words = list(ctx.find_root().meta["xpnn.args"])
        while "--resume" in words:
            del words[words.index("--resume") : words.index("--resume") + 2]
        typer.echo(f"{where}; go on with: {shlex.join(['xpnn', *words, '--resume', last])}", err=True)
    return typer.Exit(INTERRUPTED)
