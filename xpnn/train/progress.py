"""The progress bar of `fit`: loss, metrics, samples a second and time left, by Rich, on standard error."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer

READ_EVERY_S = 0.25
"""How often the loss is read for showing: a look waits for the device."""


class Progress:
    """A bar an epoch, which stays as a line when the epoch ends. Off, it costs nothing."""

    def __init__(self, trainer: Trainer, steps: int, enabled: bool) -> None:
        self._trainer, self._steps, self._bar = trainer, steps, None
        if enabled:
            from rich.console import Console  # 60 ms that `import xpnn` need not spend
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(elapsed_when_finished=True),
                console=Console(stderr=True),
                refresh_per_second=4,
            )

    def __enter__(self) -> Self:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def start(self, epoch: int, done: int) -> None:
        """A new bar for this epoch; `done` batches of it are behind already."""
        self._done, self._samples, self._since = done, 0, time.perf_counter()
        self._read_at = self._since
        if self._bar is not None:
            total = int(self._trainer._run["last"])
            self._task = self._bar.add_task("", total=self._steps, completed=done, epoch=f"{epoch}/{total}", text="")

    def advance(self, samples: int) -> None:
        """One more batch."""
        if self._bar is None:
            return
        self._done += 1
        self._samples += samples
        now = time.perf_counter()
        if now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            self._show(self._trainer._meter.value(), self._samples / (now - self._since))

    def finish(self, row: dict[str, float]) -> None:
        """The epoch is over: leave its line."""
        if self._bar is not None:
            skip = ("epoch", "lr", "seconds", "samples_per_s")
            self._show({k: v for k, v in row.items() if k not in skip}, row["samples_per_s"])

    def _show(self, values: dict[str, Any], samples_per_s: float) -> None:
        assert self._bar is not None
        shown = "  ".join(f"{name} {value:.4f}" for name, value in values.items() if isinstance(value, float))
        self._bar.update(self._task, completed=self._done, text=f"{shown}  {samples_per_s:,.0f} samples/s")
