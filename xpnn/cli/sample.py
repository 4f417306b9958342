"""`xpnn sample`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from xpnn.cli.common import BackendOption, open_model
from xpnn.errors import DataError


def command(
    model: Annotated[Path, typer.Argument(help="A file that xpnn train TEXT.txt --checkpoint wrote.")],
    prompt: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="What to go on from. Default: the end of a line.", show_default=False),
    ] = None,
    length: Annotated[int, typer.Option(metavar="N", help="Characters to write.", min=1)] = 500,
    temperature: Annotated[
        float,
        typer.Option(metavar="T", help="Below 1 safer, above 1 bolder; 0 takes the likeliest character every time."),
    ] = 0.8,
    seed: Annotated[int, typer.Option(metavar="N", help="The same text for the same seed.", min=0)] = 0,
    backend: BackendOption = "cpu",
) -> None:
    """Write a text, character by character, as the one that a network has learnt from.

    \b
    Examples:
      xpnn sample writer.safetensors
      xpnn sample writer.safetensors --prompt "ROMEO:" --length 1000
      xpnn sample writer.safetensors --temperature 0.5 --seed 1
    """
    from xpnn.data.text import encode
    from xpnn.sampling import sample

    saved = open_model(model, backend)
    if not saved.characters:
        raise DataError(f"{model}: was not trained on a text; xpnn train TEXT.txt trains a model that writes")
    start = prompt or ("\n" if "\n" in saved.characters else saved.characters[0])
    ids = sample(saved.model, encode(start, saved.characters, "--prompt"), length, temperature, seed)
    _write(prompt or "")
    for i in ids:
        _write(saved.characters[i])
    _write("\n")


def _write(text: str) -> None:
    """To standard output, a line as soon as it is complete; with ? for what its encoding does not have."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    if text.endswith("\n"):
        sys.stdout.flush()
