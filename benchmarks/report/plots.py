"""The plots of a report: ladder, rooflines, crossover, peers. Drawn narrow enough for a phone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator
from math import ceil, floor, inf, log10
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from xpnn_benchmarks import crossover
from xpnn_benchmarks.report import svg, tables
from xpnn_benchmarks.report.source import Row, achieved, by_network, measured_on, noisy, per_sample, rows
from xpnn_benchmarks.report.units import duration, number, times

WIDTH, PICTURE, LINE = 350, 400, 40
LEFT = 54
NAMED, LETTER, LETTERS = 8, 6.5, 66


class Plot(NamedTuple):
    """The section it belongs to, its title, what a reader who does not see it is told, and the figure."""

    section: str
    title: str
    label: str
    figure: Figure


def plots(data: dict[str, Any]) -> Iterator[Plot]:
    """All of them, drawn in `svg.style()`."""
    for title, rungs in by_network(data).items():
        yield _ladder_plot(title, rungs, data)
    yield from _crossover_plots(data)
    for backend in data["xpnn"]["backends"]:
        yield from _roofline_plot(backend, data)
    yield from _peers_plot(data)


def _colour(backend: str, data: dict[str, Any]) -> str:
    names = data["xpnn"]["backends"]
    return svg.SERIES[names.index(backend) % len(svg.SERIES)] if backend in names else svg.FAINT


def _plain(axis: Axis, text: Callable[[float], str] = "{:,.9g}".format) -> None:
    """Powers of ten written out, so many that about five are left; in a short range what lies between them too."""
    low, high = axis.get_view_interval()
    first, last = floor(log10(low)), ceil(log10(high))
    steps = (1,) if last - first > 3 else (1, 3) if last - first > 2 else (1, 2, 5)
    every = max(1, round((last - first) / 5))
    ticks = [step * 10.0**k for k in range(first, last + 1, every) for step in steps]
    axis.set_major_locator(FixedLocator([tick for tick in ticks if low * 0.999 <= tick <= high * 1.001]))
    axis.set_major_formatter(FuncFormatter(lambda value, _: text(float(f"{value:.1g}"))))
    axis.set_minor_locator(NullLocator())


def _margins(figure: Figure, left: float, right: float, top: float, bottom: float) -> None:
    """In the figure's own units, as it was made."""
    width, height = 72 * figure.get_figwidth(), 72 * figure.get_figheight()
    figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)


# Ladder -------------------------------------------------------------------------------------------------------------


def _draw_ladder(axes: Axes, rungs: list[Row], data: dict[str, Any]) -> None:
    """A bar for each rung, from 1 to its speed-up, with its name above."""
    ups = [per_sample(rungs[0]) / per_sample(rung) for rung in rungs]
    low, high = min(1.0, *ups) / 1.02, 1.05 * max(2.0, *ups)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(len(rungs) - 0.5, -0.5)
    _plain(axes.xaxis, "{:,.9g}×".format)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.grid(axis="y", visible=False)
    across = axes.get_yaxis_transform()
    for i, (rung, up) in enumerate(zip(rungs, ups, strict=True)):
        axes.barh(i + 0.22, up - 1, left=1, height=0.3, color=_colour(rung.told["backend"], data))
        axes.plot([1, 1], [i + 0.07, i + 0.37], color=svg.FAINT, linewidth=2)
        axes.text(0, i - 0.02, rung.told["rung"], transform=across, va="bottom")
        for place, said in ((0.83, duration(per_sample(rung))), (1, times(up))):
            axes.text(place, i - 0.02, said, transform=across, ha="right", va="bottom")


def _ladder_plot(title: str, rungs: list[Row], data: dict[str, Any]) -> Plot:
    figure = svg.figure(WIDTH, LINE * len(rungs) + 44)
    _draw_ladder(figure.add_subplot(), rungs, data)
    figure.axes[0].set_xlabel("speed-up over the first rung")
    _margins(figure, 10, 14, 4, 40)
    said = "; ".join(f"{r.told['rung']} {duration(per_sample(r))}" for r in rungs)
    return Plot("ladder", title, f"Ladder of {title}, time for a sample: {said}", figure)


def ladder_picture(data: dict[str, Any], path: Path | str) -> None:
    """The ladders of all networks, with the machine and the day, as a picture of about 800 pixels: .png or .svg."""
    path, found = Path(path), by_network(data)
    counts = [len(rungs) for rungs in found.values()]
    here = data["xpnn"]["machine"]
    names = ", ".join([*dict.fromkeys(here["gpu"].values()), f"{here['cpu']}, {here['cpus']} CPUs"])
    day = f"measured on {measured_on(data)}{'; the run was noisy' if noisy(data) else ''}"
    said = textwrap.wrap(f"Time for a sample and speed-up over the first rung. {names}; {day}", LETTERS)
    with svg.style():
        figure = svg.figure(PICTURE, sum(LINE * n + 50 for n in counts) + 12 + 12 * len(said))
        figure.subplots(len(found), 1, squeeze=False, height_ratios=counts)
        for axes, (title, rungs) in zip(figure.axes, found.items(), strict=True):
            _draw_ladder(axes, rungs, data)
            axes.set_title(title, loc="left", fontsize=11, fontweight="bold")
        figure.text(10 / PICTURE, 8 / (72 * figure.get_figheight()), "\n".join(said), fontsize=9, color=svg.FAINT)
        _margins(figure, 10, 14, 26, 34 + 12 * len(said))
        figure.subplots_adjust(hspace=50 / (LINE * sum(counts) / len(counts)))
        svg.save(figure, path)


# Crossover ----------------------------------------------------------------------------------------------------------


def _round_time(seconds: float) -> str:
    return duration(seconds).replace(".00 ", " ").replace(".0 ", " ")


def _crossover_plots(data: dict[str, Any]) -> Iterator[Plot]:
    for title, by_place in crossover.tabulate(data["benchmarks"]).items():
        figure = svg.figure(WIDTH, 270)
        axes = figure.add_subplot()
        axes.set_xscale("log")
        axes.set_yscale("log")
        for backend, took in by_place.items():
            sizes = sorted(took)
            style = {"marker": "o", "markersize": 4, "linewidth": 1.8, "color": _colour(backend, data)}
            axes.plot(sizes, [took[size] for size in sizes], label=backend, **style)
        batches = sorted({size for took in by_place.values() for size in took})
        axes.xaxis.set_major_locator(FixedLocator(batches))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        axes.xaxis.set_minor_locator(NullLocator())
        _plain(axes.yaxis, _round_time)
        axes.set_xlabel("batch size")
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0, handlelength=1.4)
        _margins(figure, LEFT, 14, 24, 40)
        yield Plot("crossover", title, f"{title}, time by batch size: {tables.advice(by_place)}", figure)


# Roofline -----------------------------------------------------------------------------------------------------------


def _roofline_plot(backend: str, data: dict[str, Any]) -> Iterator[Plot]:
    """Operations a second over operations a byte: under the ceilings of the product and of the copy."""
    counted = [r for r in rows(data, "ops") if r.told["backend"] == backend and r.told["flops"] and r.told["nbytes"]]
    if not counted:
        return
    best = data["xpnn"]["ceilings"][backend]
    x = np.array([row.told["flops"] / row.told["nbytes"] for row in counted])
    y = np.array([achieved(row, data).gflops for row in counted])
    figure = svg.figure(WIDTH, 300)
    axes = figure.add_subplot()
    axes.set_xscale("log")
    axes.set_yscale("log")
    low, high = x.min() / 2, max(x.max(), best["gflops"] / best["gbytes"]) * 3
    corner = best["gflops"] / best["gbytes"]
    axes.plot(
        [low, corner, high], [best["gbytes"] * low, best["gflops"], best["gflops"]], color=svg.FAINT, linewidth=1.6
    )
    forward = np.array([row.told["phase"] == "forward" for row in counted])
    colour = _colour(backend, data)
    for phase, chosen, face in (("forward", forward, colour), ("backward", ~forward, "none")):
        style = {"markersize": 5, "color": colour, "markerfacecolor": face, "markeredgewidth": 1.2}
        axes.plot(x[chosen], y[chosen], "o", label=phase, **style)
    axes.set_xlim(low, high)
    axes.set_ylim(y.min() / 2, max(y.max(), best["gflops"]) * 2)
    _plain(axes.xaxis)
    _plain(axes.yaxis)
    axes.set_xlabel("FLOP for a byte")
    axes.annotate("GFLOP/s", (0, 1), (-50, 4), xycoords="axes fraction", textcoords="offset points", color=svg.FAINT)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2, borderaxespad=0, handletextpad=0.2)
    _margins(figure, LEFT, 14, 24, 40)
    _name_some(axes, [row.told["op"] for row in counted], x, y)
    roof = f"{number(best['gflops'])} GFLOP/s, {number(best['gbytes'])} GB/s"
    label = f"Roofline of {backend}: {len(counted)} points, ceilings {roof}"
    yield Plot("ops", f"{backend}: ceilings {roof}", label, figure)


def _name_some(axes: Axes, names: list[str], x: np.ndarray, y: np.ndarray) -> None:
    """Each op once, those with the most operations for a byte first, where the name covers nothing."""
    points = axes.transData.transform(np.column_stack([x, y])) * 72 / axes.figure.dpi
    covered = [(px - 4, px + 4, py - 4, py + 4) for px, py in points]
    said: set[str] = set()
    for i in np.argsort(-x, kind="stable"):
        (px, py), wide = points[i], LETTER * len(names[i])
        box = (px - 6 - wide, px - 6, py - 6, py + 6)
        free = not any(box[0] < c[1] and c[0] < box[1] and box[2] < c[3] and c[2] < box[3] for c in covered)
        if names[i] not in said and free and box[0] > LEFT and len(said) < NAMED:
            said.add(names[i])
            covered.append(box)
            axes.annotate(
                names[i], (x[i], y[i]), (-6, 0), textcoords="offset points", ha="right", va="center", fontsize=10.5
            )


# Peers --------------------------------------------------------------------------------------------------------------


def _peers_plot(data: dict[str, Any]) -> Iterator[Plot]:
    """For each work a dot for each peer: its time over ours, with the least and the most of the rounds."""
    found = [row for row in data["xpnn"].get("peers", []) if row["peers"]]
    if not found:
        return
    names = list(dict.fromkeys(name for row in found for name in row["peers"]))
    figure = svg.figure(WIDTH, (22 + 9 * len(names)) * len(found) + 66)
    axes = figure.add_subplot()
    low, high = inf, 0.0
    for i, row in enumerate(found):
        axes.plot([1, 1], [i, i + 0.45], color=svg.INK, linewidth=1)
        axes.text(0, i - 0.12, row["work"], transform=axes.get_yaxis_transform(), va="bottom")
        for name, ratio in row["peers"].items():
            k = names.index(name)
            at = i + 0.08 + 0.42 * k / len(names)
            style = {"color": svg.SERIES[k % len(svg.SERIES)], "linewidth": 1.6}
            axes.plot([ratio["least"], ratio["most"]], [at, at], **style)
            axes.plot(ratio["ratio"], at, "o", markersize=5, color=style["color"])
            low, high = min(low, ratio["least"]), max(high, ratio["most"])
    axes.set_xscale("log")
    axes.set_xlim(min(low, 0.8) / 1.2, max(high, 1.25) * 1.2)
    axes.set_ylim(len(found) - 0.5, -0.6)
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    _plain(axes.xaxis, "{:g}×".format)
    axes.set_xlabel("right of 1× xpnn is the faster")
    for k, name in enumerate(names):
        axes.plot([], [], "o", color=svg.SERIES[k % len(svg.SERIES)], label=name)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=4, borderaxespad=0, handletextpad=0.2)
    _margins(figure, 10, 14, 26, 40)
    yield Plot(
        "peers",
        "Time of a peer over that of xpnn",
        f"Times of {', '.join(names)} over those of xpnn in {len(found)} works",
        figure,
    )
