"""`xpnn doctor`."""

from __future__ import annotations

import typer

MARKS = {"ok": "[green]ok[/]", "warn": "[yellow]warn[/]", "fail": "[red]FAIL[/]"}


def command() -> None:
    """Look at this machine: what works, what does not, and how to mend it.

    Ends with code 1 when something that is installed cannot work.

    \b
    Example:
      xpnn doctor
    """
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from xpnn.doctor import diagnose

    found = diagnose()
    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", "what", "finding"):
        table.add_column(name, overflow="fold")
    for finding in found:
        table.add_row(MARKS[finding.status], escape(finding.name), escape(finding.text))
    console.print(table)
    for finding in found:
        if finding.fix:  # outside of the table, so that it can be copied
            print(f"{finding.name}: {finding.fix}")
    if any(finding.status == "fail" for finding in found):
        raise typer.Exit(1)
