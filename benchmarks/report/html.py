"""The report as one HTML file that needs nothing else: plots inlined, light or dark as the reader's system is."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from xpnn_benchmarks.report import plots, svg, tables
from xpnn_benchmarks.report.source import measured_on, noisy

LEADS = {
    "ladder": "One network, one seed, one data set: what each step from Python objects to recorded kernels buys. "
    + tables.LADDER_NOTES,
    "crossover": "Which backend to use below, and which above, a batch size.",
    "ops": "What each operation reaches of what this machine can do. The line of a roofline is what a large product "
    "and a large copy reached at the start of the run.",
    "peers": "The same work in other libraries, each in a process of its own, in turn.",
    "start": "What a library costs before it computes.",
}


def write(data: dict[str, Any], path: Path | str) -> None:
    """The page of a run, from what the run wrote."""
    template = Environment(autoescape=True, trim_blocks=True).from_string(_read("page.html"))
    page = template.render(
        title="xpnn benchmarks, " + measured_on(data),
        light=svg.LIGHT,
        dark=svg.DARK,
        css=Markup(_read("page.css")),
        verdict=tables.verdict(data),
        noisy=noisy(data),
        incomplete=tables.incomplete(data),
        machine=tables.machine(data),
        sections=sections(data),
        command=command(data),
        strong=lambda cell: isinstance(cell, tables.Strong),
    )
    Path(path).write_text(page, encoding="utf-8")


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")


def sections(data: dict[str, Any]) -> list[dict[str, Any]]:
    """Those about which something was measured."""
    with svg.style():
        drawn = [
            (p.section, {"title": p.title, "svg": Markup(svg.inline(p.figure, p.label))}) for p in plots.plots(data)
        ]
    parts: dict[str, tuple[str, Callable[[], list[tables.Table]]]] = {
        "ladder": ("The ladder", lambda: list(tables.ladder(data))),
        "crossover": ("Crossover", lambda: [tables.batches(data)]),
        "ops": ("Operations", lambda: [tables.all_ops(data)]),
        "peers": ("Peers", lambda: [tables.peers(data)]),
        "start": ("Before the first step", lambda: [tables.start(data)]),
    }
    found = []
    for name, (title, make) in parts.items():
        filled = [table for table in make() if table.rows]
        if filled:
            shown = [plot for section, plot in drawn if section == name]
            points = tables.advices(data) if name == "crossover" else []
            section = {
                "id": name,
                "title": title,
                "lead": LEADS[name],
                "points": points,
                "plots": shown,
                "tables": filled,
            }
            found.append(section)
    return found


def command(data: dict[str, Any]) -> str:
    """What measures the same elsewhere."""
    about = data["xpnn"]
    words = ["xpnn", "bench", *[f"--backend {name}" for name in about["backends"]]]
    words += [f"--suite {about['suite']}"] if about.get("suite", "all") != "all" else []
    words += ["--quick"] if about["quick"] else []
    words += ["--peers"] if about.get("peers") else []
    version = about["machine"]["versions"]["xpnn"]
    extras = "bench,peers" if data["xpnn"].get("peers") else "bench"
    return f"pip install 'xpnn[{extras}]=={version}'\n{' '.join([*words, '--html report.html'])}"
