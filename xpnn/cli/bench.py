"""`xpnn bench`."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from xpnn.cli.common import choose
from xpnn.cli.interrupt import INTERRUPTED
from xpnn.errors import ConfigError, DataError

SUITES = ("ops", "train", "all")


def command(
    suite: Annotated[
        str,
        typer.Option(
            help="ops (every operation, and which backend from which batch size on), train "
            "(the ladder from objects to kernels), or all."
        ),
    ] = "all",
    backend: Annotated[
        list[str] | None,
        typer.Option(help="Only this one; several times for more. Default: all that can be used.", show_default=False),
    ] = None,
    peers: Annotated[bool, typer.Option("--peers", help="Other libraries too, those that are installed.")] = False,
    quick: Annotated[bool, typer.Option("--quick", help="What matters most, in a minute or so.")] = False,
    json: Annotated[Path | None, typer.Option(help="Write everything that was measured here.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write a report with pictures here: one file.")] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            help="Measure nothing; say what got slower from the first JSON file to the second.", metavar="A.json B.json"
        ),
    ] = None,
) -> None:
    """Measure this machine: which backend should I use, and how much does it buy me?

    Ctrl-C ends a run; what was measured until then is shown and written. Kernels that were never used before are
    compiled first: the first run takes longer. With --compare, ends with code 1 when something got slower.

    \b
    Examples:
      xpnn bench --quick
      xpnn bench --json today.json --html today.html
      xpnn bench --suite train --backend numba --peers
      xpnn bench --compare yesterday.json today.json
    """
    from rich.console import Console

    for library in ("pytest_benchmark", "jinja2", "matplotlib"):
        if find_spec(library) is None:
            raise ConfigError(f"bench: {library} is not installed; pip install 'xpnn[bench]'")
    from xpnn.core import backend as backends
    from xpnn_benchmarks import session
    from xpnn_benchmarks.report import compare as comparison
    from xpnn_benchmarks.report import html as page
    from xpnn_benchmarks.report import terminal

    console = Console(highlight=False)
    if compare is not None:
        raise typer.Exit(int(comparison.show(*compare, console)))
    suite = choose("suite", suite, SUITES)
    places = [backends.get(name).device for name in backend or []]  # BackendError before anything else
    for path in (json, html):
        _need_writable(path)
    data = session.run(suite, places, quick, Console(stderr=True))
    if peers and not data["xpnn"]["interrupted"]:
        session.against_peers(data, Console(stderr=True))
    if json is not None:
        session.write(data, json)
    terminal.show(data, console)
    if html is not None:
        page.write(data, html)
    for path in (json, html):
        if path is not None:
            print(f"written: {path}")
    best = session.remember(data)
    if best:
        print(f'"auto" means {best} from now on, until the machine or its libraries change')
    if data["xpnn"]["interrupted"]:
        raise typer.Exit(INTERRUPTED)
    if data["xpnn"]["failed"]:
        raise typer.Exit(1)


def _need_writable(path: Path | None) -> None:
    """DataError now rather than after a quarter of an hour."""
    if path is None:
        return
    if path.is_dir() or not path.parent.is_dir():
        raise DataError(f"{path}: expected the name of a file in a folder that exists")
    try:
        with path.open("ab"):
            pass
        if not path.stat().st_size:
            path.unlink()
    except OSError as error:
        raise DataError(f"{path}: cannot be written ({error.strerror})") from None
