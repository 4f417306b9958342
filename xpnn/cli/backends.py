"""`xpnn backends`."""

from __future__ import annotations


def command() -> None:
    """Show which backends can be used here, and what serves which op on them.

    \b
    override   a kernel written for this backend
    reference  the array-API reference of the op
    partly     the kernel takes some of the op's sample cases, the reference the rest

    \b
    Example:
      xpnn backends
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from xpnn import ops  # noqa: F401 - registers the ops
    from xpnn.check import table as served
    from xpnn.core import backend as backends
    from xpnn.core import measured

    usable, why_not = backends.usable()
    for name in backends.names():
        print(f"{name:<9} {why_not.get(name, 'can be used')}")
    date = measured.kept()[1]
    why = f", as xpnn bench found on {date}" if date else ""
    print(f"{'auto':<9} means {backends.get('auto').device} here{why}\n")
    console = Console(highlight=False)
    table = Table("op", "phase", *(place.name for place in usable), box=box.SIMPLE_HEAD)
    styles = {"override": "bold", "partly": "", "reference": "dim"}
    for op, phase, by in served(usable):
        cells = [by[place.name] for place in usable]
        table.add_row(op, phase, *(f"[{styles[c]}]{c}[/]" if styles[c] else c for c in cells))
    console.print(table)
