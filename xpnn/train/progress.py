"""What `fit` shows on standard error, by Rich: a bar for the epoch under way, a line for each one that has ended."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer

READ_EVERY_S = 0.25
"""How often the loss is read for showing: a look waits for the device."""


class Progress:
    """Off, it costs nothing. Where standard error is no terminal there are the lines alone."""

    def __init__(self, trainer: Trainer, steps: int, enabled: bool) -> None:
        self._trainer, self._steps, self._bar = trainer, steps, None
        if enabled:
            from rich.console import Console  # 60 ms that `import xpnn` need not spend
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            console = Console(stderr=True, highlight=False)
            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(bar_width=16),
                TextColumn("{task.fields[text]}"),
                TimeRemainingColumn(),
                console=console,
                refresh_per_second=4,
                transient=True,
                disable=not console.is_terminal,
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
            last = int(self._trainer._run["last"])
            self._name = f"epoch {epoch:>{len(str(last))}}/{last}"
            self._task = self._bar.add_task(self._name, total=self._steps, completed=done, text="")

    def advance(self, samples: int) -> None:
        """One more batch."""
        if self._bar is None:
            return
        self._done += 1
        self._samples += samples
        now = time.perf_counter()
        if now - self._read_at >= READ_EVERY_S:
            self._read_at = now
            text = f"{_listed(self._trainer._meter.value())}  {self._samples / (now - self._since):,.0f}/s"
            self._bar.update(self._task, completed=self._done, text=text)

    def finish(self, row: dict[str, Any]) -> None:
        """The epoch is over: its line stays."""
        if self._bar is not None:
            self._bar.remove_task(self._task)
            shown = {k: v for k, v in row.items() if k not in ("epoch", "lr", "seconds", "samples_per_s")}
            self._bar.console.print(f"{self._name}  {_listed(shown)}  {row['samples_per_s']:,.0f}/s", soft_wrap=True)


def _listed(values: dict[str, Any]) -> str:
    """Each number beside its validation, so that two of them leave room for the speed in 80 columns."""
    numbers = {name: f"{value:.4f}" for name, value in values.items() if isinstance(value, float)}
    plain = {name: text for name, text in numbers.items() if not name.startswith("val_")}
    beside = {name: f" (val {numbers[f'val_{name}']})" for name in plain if f"val_{name}" in numbers}
    return "  ".join(f"{name} {text}{beside.get(name, '')}" for name, text in plain.items())
