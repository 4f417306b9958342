"""The report in the terminal."""

from __future__ import annotations

from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as Grid
from rich.text import Text

from xpnn_benchmarks.report import tables
from xpnn_benchmarks.report.source import noisy

WORDS = 26
"""So wide should the first column be, before others are shown."""


def show(data: dict[str, Any], console: Console) -> None:
    """The machine, then what was measured: the ladder, operations, crossover, peers, the start."""
    head = Grid(box=None, show_header=False, pad_edge=False)
    head.add_column(style="dim")
    head.add_column(overflow="fold")
    for name, fact in tables.machine(data):
        head.add_row(name, Text(fact))
    console.print(head, Text(tables.verdict(data), style="bold yellow" if noisy(data) else ""))
    for line in tables.incomplete(data):
        console.print(Text(line, style="bold red"))
    console.print()
    ladder = list(tables.ladder(data))
    for table in ladder:
        draw(table, console)
    if ladder:
        note(tables.LADDER_NOTES, console)
    for make in (tables.fastest_ops, tables.batches, tables.peers, tables.start):
        table = make(data)
        if table.rows:
            draw(table, console)
            if make is tables.batches:
                console.print(*tables.advices(data), "", sep="\n", highlight=False, markup=False)


def draw(table: tables.Table, console: Console) -> None:
    """Words that the line above has too are left out, and where the terminal is narrow, columns; the page has all."""
    shown = fitting(table, console.width)
    console.print(Text(table.title, style="bold"))
    grid = Grid(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for i in shown:
        # Folded where it does not fit even so, never cropped: half a number would be a wrong one.
        grid.add_column(escape(table.columns[i]), justify="left" if i < table.text else "right", overflow="fold")
    above: tuple[str, ...] = ()
    for row in table.rows:
        same = 0
        while same < table.text - 1 and above and row[: same + 1] == above[: same + 1]:
            same += 1
        cells = [Text(row[i], style="bold green" if isinstance(row[i], tables.Strong) else "") for i in shown]
        grid.add_row(*[""] * same, *cells[same:])
        above = row
    console.print(grid)
    if len(shown) < len(table.columns):
        left_out = ", ".join(name for i, name in enumerate(table.columns) if i not in shown)
        note(f"Left out, for the terminal is narrow: {left_out}.", console)
    for text in table.notes:
        note(text, console)


def width(table: tables.Table, column: int) -> int:
    """Of its widest cell, and of the longest word of its name."""
    words = table.columns[column].split()
    return max(len(text) for text in (*words, *[row[column] for row in table.rows], ""))


def fitting(table: tables.Table, columns: int) -> list[int]:
    """The columns that leave the words of the first one a line; those that can be spared go first."""
    shown = list(range(len(table.columns)))
    spare = [table.columns.index(name) for name in table.spare if name in table.columns]
    while spare and sum(width(table, i) + 3 for i in shown[1:]) + min(width(table, 0), WORDS) > columns:
        shown.remove(spare.pop(0))
    return shown


def note(text: str, console: Console) -> None:
    console.print(Text(text, style="dim"))
