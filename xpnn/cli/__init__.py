"""The command line: `xpnn train | evaluate | predict | sample | doctor | backends | check | bench`. One command a file.

What a command needs is imported inside it, so that `xpnn --help` is quick.
"""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from xpnn.cli.backends import command as backends
from xpnn.cli.bench import command as bench
from xpnn.cli.check import command as check
from xpnn.cli.doctor import command as doctor
from xpnn.cli.evaluate import command as evaluate
from xpnn.cli.interrupt import INTERRUPTED
from xpnn.cli.predict import command as predict
from xpnn.cli.sample import command as sample
from xpnn.cli.train import command as train
from xpnn.errors import XpnnError


class Commands(TyperGroup):
    """The commands, with every failure in one line: `xpnn: what, why, what to do`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        ctx.meta["xpnn.args"] = list(args)
        if "--debug" in args:  # anywhere: it is typed after a command that has just failed
            args = ["--debug", *(arg for arg in args if arg != "--debug")]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()  # a full disk under the output is seen here, not in the interpreter's last breath
            return result
        except KeyboardInterrupt:
            typer.echo("xpnn: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except Exception as error:
            ours = not hasattr(error, "exit_code") and not isinstance(error, (typer.Abort, BrokenPipeError))
            if not ours or ctx.params.get("debug"):
                raise
            typer.echo(f"xpnn: {_one_line(error)}", err=True)
            raise typer.Exit(1) from None


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, XpnnError):
        return text
    if isinstance(error, OSError):
        why = (error.strerror or text or type(error).__name__).lower()
        return f"{error.filename}: {why}" if error.filename else why
    if isinstance(error, MemoryError):
        return "out of memory"
    return f"a bug, please report it ({type(error).__name__}: {text}); xpnn --debug ... shows where"


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("train")(train)
app.command("evaluate")(evaluate)
app.command("predict")(predict)
app.command("sample")(sample)
app.command("doctor")(doctor)
app.command("backends")(backends)
app.command("check")(check)
app.command("bench")(bench)


def _version(wanted: bool) -> None:
    if wanted:
        from xpnn import __version__

        typer.echo(f"xpnn {__version__}")
        raise typer.Exit


@app.callback(epilog="xpnn COMMAND --help tells more, with examples.")
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and end.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Neural networks on NumPy, Numba and CuPy, from the command line.

    Start with: xpnn train
    """


def main() -> None:
    """What the script `xpnn` runs."""
    app()
