"""`xpnn predict`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpnn.cli.common import BackendOption, Saved, open_model, output_kind
from xpnn.errors import DataError

if TYPE_CHECKING:
    import numpy as np

BAR = 30  # characters for a probability of 1


def command(
    model: Annotated[Path, typer.Argument(help="A file that xpnn train --checkpoint, or xpnn.save, wrote.")],
    images: Annotated[list[Path], typer.Argument(help="Pictures with one digit each.", metavar="IMAGE")],
    backend: BackendOption = "cpu",
    show: Annotated[bool, typer.Option("--show", help="Show what the network is given to see.")] = False,
) -> None:
    """Say which digit a picture shows, with the probability of each class.

    The digit may have any colour, size and place, on a bright, dark, coloured, shaded or transparent background; it is
    cut out, scaled and centred as the training data was. Networks of 28x28 (MNIST) and 8x8 pixels (digits) can be
    asked.

    \b
    Examples:
      xpnn predict model.safetensors seven.png
      xpnn predict model.safetensors scans/*.jpg
      xpnn predict model.safetensors seven.png --show
    """
    saved = open_model(model, backend)
    saved.need_labels()
    size = _side(saved)
    for image in images:
        _predict(saved, image, size, show)


def _side(saved: Saved) -> int:
    from math import isqrt, prod

    pixels = prod(saved.shape)
    side = isqrt(pixels)
    if side not in (8, 28) or pixels != side * side or saved.shape[-1] == 3:
        shape = "x".join(map(str, saved.shape)) or "samples of a shape that it does not tell"
        raise DataError(f"{saved.path}: was trained on {shape}; expected a network of 28x28 or 8x8 grey pixels")
    return side


def _predict(saved: Saved, image: Path, size: int, show: bool) -> None:
    import numpy as np

    from xpnn.core.tape import no_grad
    from xpnn.data.image import read_digit

    pixels = read_digit(image, size)
    white = 16 if size == 8 else 255
    # Without a shift it was fed from 0 to 1, whatever was stored.
    x = pixels * saved.scale + saved.shift if saved.scale is not None and saved.shift else pixels / white
    with no_grad():
        output = saved.model(x.astype(np.float32).reshape(1, *saved.shape)).numpy()[0]
    chances = probabilities(output, output_kind(saved), saved.loss)
    best = int(chances.argmax())
    print(f"{image}: {best} ({100 * chances[best]:.1f} %)")
    if show:
        for row in pixels[:, :, 0]:
            print("  " + "".join(2 * " .:-=+*#%@"[int(9 * int(p) / white)] for p in row))
    for label, chance in enumerate(chances):
        bar = "#" * round(BAR * float(chance))
        print(f"  {label:>2}  {100 * chance:5.1f} %  {bar}".rstrip())


def probabilities(output: np.ndarray, activation: str | None, loss: str) -> np.ndarray:
    """Outputs (C,) as probabilities that sum to 1."""
    import numpy as np

    y = output.astype(np.float64)
    if activation == "softmax":
        return y
    if activation in ("sigmoid", "hard_sigmoid", "step") or loss == "binary_cross_entropy":
        y = y if activation else 1 / (1 + np.exp(-y))
        return y / y.sum() if y.sum() > 0 else np.full_like(y, 1 / len(y))
    e = np.exp(y - y.max())
    return e / e.sum()
