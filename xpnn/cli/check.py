"""`xpnn check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpnn.cli.common import choose

if TYPE_CHECKING:
    from xpnn.check import Row


def command(
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Only this one; several times for more. Default: all that can be used.", show_default=False),
    ] = None,
    op: Annotated[
        list[str] | None, typer.Option(help="Only this op; several times for more. Default: all.", show_default=False)
    ] = None,
) -> None:
    """Check on this machine that every op computes what it should.

    Each backend is held against float64, each gradient against finite differences. A cell of the table says how far the
    worst result is off, in percent of what is allowed. Ends with code 1 when anything is wrong. Kernels that were never
    used before are compiled first.

    \b
    Examples:
      xpnn check
      xpnn check --backend numba
      xpnn check --op dense --op softmax
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from xpnn import ops  # noqa: F401 - registers the ops
    from xpnn.check import run
    from xpnn.core import backend as backends
    from xpnn.core.op import REGISTRY

    names = [choose("op", name, REGISTRY) for name in op or sorted(REGISTRY)]
    places = [backends.get(name) for name in backend] if backend else backends.usable()[0]
    rows: list[Row] = []
    console = Console(stderr=True)
    columns = (TextColumn("checking"), BarColumn(bar_width=24), MofNCompleteColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=len(names))
        for name in names:
            bar.update(task, description=name)
            rows += run(places, [name])
            bar.advance(task)
    _print_table(rows)
    failures = list(dict.fromkeys(row.message for row in rows if not row.ok))
    for message in failures:
        print(f"FAIL  {message}")
    checked = f"{len(names)} ops on {', '.join(place.device for place in places)}"
    if failures:
        print(f"{checked}: {sum(not row.ok for row in rows)} of {len(rows)} checks failed")
        raise typer.Exit(1)
    print(f"{checked}: all {len(rows)} checks passed")


def _print_table(rows: list[Row]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    lines: dict[tuple[str, str], dict[str, list[Row]]] = {}
    for row in rows:
        phase, column = ("backward", "gradient") if row.phase == "gradient" else (row.phase, row.backend)
        lines.setdefault((row.op, phase), {}).setdefault(column, []).append(row)
    heads = list(dict.fromkeys(column for line in lines.values() for column in line))
    heads.sort(key="gradient".__ne__)
    table = Table("op", "phase", box=box.SIMPLE_HEAD)
    for head in heads:
        table.add_column(head, justify="right")
    for (op, phase), line in sorted(lines.items()):
        table.add_row(op, phase, *(_cell(line.get(head, [])) for head in heads))
    Console(highlight=False).print(table)


def _cell(rows: list[Row]) -> Any:
    if not rows:
        return ""
    if not all(row.ok for row in rows):
        return "[red]FAIL[/]"
    return f"{100 * max(row.error / row.tolerance if row.tolerance else 0.0 for row in rows):.0f} %"
