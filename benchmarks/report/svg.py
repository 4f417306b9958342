"""Matplotlib figures for a page: colours that follow the reader's theme, text as text."""

from __future__ import annotations

import html
import io
import re
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

INK, FAINT, GRID, PAPER = "#1b1f24", "#68707a", "#d5dade", "#fdfdfe"
SERIES = ("#3567b8", "#d9701a", "#1a8f5c", "#a8479f", "#8a6d1c", "#c23b4b")
LIGHT = {"ink": INK, "faint": FAINT, "grid": GRID, "paper": PAPER} | {f"s{i}": c for i, c in enumerate(SERIES)}
DARK = {"ink": "#e6e8eb", "faint": "#9ba4ae", "grid": "#3a4149", "paper": "#15181c"} | dict(
    zip(
        [f"s{i}" for i in range(len(SERIES))],
        ["#79a8f0", "#f29b52", "#4cc38c", "#d98bd1", "#cfae56", "#f08290"],
        strict=True,
    )
)
STYLE = {
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.facecolor": "none",
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.labelsize": 11,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "text.color": INK,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "xtick.labelcolor": FAINT,
    "ytick.labelcolor": FAINT,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "svg.fonttype": "none",
}
FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Liberation Sans', sans-serif"


def style() -> Any:
    """`with style():` around what draws and what saves."""
    return matplotlib.rc_context(STYLE)


def figure(width: int, height: int) -> Figure:
    """In the units of the SVG: a point of its text is a pixel on the page, where the page shows it at its own width."""
    return Figure(figsize=(width / 72, height / 72))


def inline(figure: Figure, label: str) -> str:
    """An <svg> element that scales with its place and says what it shows."""
    buffer = io.StringIO()
    # Clips and markers are named by a hash: of the label too, so that the plots of a page do not share names.
    with matplotlib.rc_context({"svg.hashsalt": label}):
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'<g id="[^"]*"', "<g", text)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = re.sub(
        r'<svg [^>]*?viewBox="([^"]*)"[^>]*>',
        rf'<svg role="img" aria-label="{html.escape(label)}" viewBox="\1">',
        text,
        count=1,
    )
    text = re.sub(r"font: ([\d.]+px) [^;\"]*", r"font-size: \1", text)
    for name, colour in LIGHT.items():
        text = text.replace(colour, f"var(--{name})")
    return re.sub(r"\s*\n\s*", "\n", text)


def save(figure: Figure, path: Path) -> None:
    """A picture by itself, on paper; in SVG with its letters drawn, since it may be shown where its font is not."""
    with matplotlib.rc_context({"svg.fonttype": "path", "svg.hashsalt": path.name}):
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=144, facecolor=PAPER, metadata=metadata)
