"""What training said, epoch by epoch."""

from __future__ import annotations

import math
from io import BytesIO
from pathlib import Path
from typing import Any

from xpnn.data.files import write_whole
from xpnn.errors import ConfigError, DataError


class History:
    """One row an epoch: epoch, loss, metrics, val_..., lr, seconds, samples_per_s.

    history["val_loss"] is that column, NaN for epochs that have none.
    """

    def __init__(self, rows: list[dict[str, float]] | None = None) -> None:
        self.rows = rows or []

    def __getitem__(self, name: str) -> list[float]:
        if not any(name in row for row in self.rows):
            raise ConfigError(f"history: no column {name!r}; there are {', '.join(self.columns) or 'none yet'}")
        return [row.get(name, math.nan) for row in self.rows]

    def __repr__(self) -> str:
        last = [f"{name} {value:.4g}" for name, value in (self.rows or [{}])[-1].items() if name != "epoch"]
        return f"History({', '.join([f'{len(self)} epochs', *last])})"

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def columns(self) -> list[str]:
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def plot(self, path: str | Path) -> Path:
        """Draw loss and metrics over the epochs into a picture file (.png, .svg, .pdf), and give its path.

        Needs matplotlib: ConfigError with the install line where it is missing. DataError when the file
        cannot be written: it appears whole or not at all.
        """
        try:
            from matplotlib.figure import Figure  # no pyplot: no display, no global state
        except ImportError:
            raise ConfigError("plot: matplotlib is not installed; pip install 'xpnn[plot]'") from None
        if not self.rows:
            raise ConfigError("plot: nothing to draw; no epoch has ended yet")
        skip = {"epoch", "lr", "seconds", "samples_per_s"}
        names = [name for name in self.columns if name not in skip and not name.startswith("val_")]
        figure = Figure(figsize=(5 * len(names), 3.6), layout="constrained")
        for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
            self._draw(axes, name)
        target, picture = Path(path), BytesIO()
        try:
            figure.savefig(picture, dpi=120, format=target.suffix.removeprefix(".") or "png")
        except ValueError as error:
            raise DataError(f"{target}: the picture cannot be written: {error}") from None
        write_whole(target, [picture.getbuffer()])
        return target

    def _draw(self, axes: Any, name: str) -> None:
        epochs = self["epoch"]
        axes.plot(epochs, self[name], marker="o", markersize=3, label="training")
        if f"val_{name}" in self.columns:
            axes.plot(epochs, self[f"val_{name}"], marker="s", markersize=3, label="validation")
        axes.set(xlabel="epoch", title=name.replace("_", " "))
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()


def columns_of(names: list[str], validated: bool) -> list[str]:
    """What a row may have, where loss and metrics are called `names`."""
    beside = [f"val_{name}" for name in names] if validated else []
    return ["epoch", *names, *beside, "lr", "seconds", "samples_per_s"]


def numbers(values: dict[str, Any]) -> dict[str, float]:
    """Those that are numbers: a history has no place for arrays."""
    plain = {k: v.item() if getattr(v, "ndim", None) == 0 else v for k, v in values.items()}
    return {k: v for k, v in plain.items() if isinstance(v, (int, float))}
