"""`xpnn evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from xpnn.cli.common import BackendOption, Saved, load_split, open_model, same_source, say, size_of
from xpnn.errors import ConfigError


def command(
    model: Annotated[Path, typer.Argument(help="A file that xpnn train --checkpoint, or xpnn.save, wrote.")],
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="mnist, digits, a .csv or .npz file, a folder with IDX files, or a text for a model of texts. "
            "Default: what the model was trained on.",
            show_default=False,
        ),
    ] = None,
    backend: BackendOption = "auto",
) -> None:
    """Say how good a saved network is, class by class, and what it confuses.

    Counted is the test set of the data: for the data of the training what was kept for testing there, for other data
    without a test set all of it. Of a model of texts: how well it foresees each character (but for the first, and
    what fills no window).

    \b
    Examples:
      xpnn evaluate model.safetensors
      xpnn evaluate model.safetensors digits
      xpnn evaluate model.safetensors more-letters.csv --backend numpy
    """
    from rich.console import Console

    from xpnn import data as sources
    from xpnn import metrics, optim
    from xpnn.cli.recipe import fit_targets
    from xpnn.losses import LOSSES
    from xpnn.train import Trainer

    saved = open_model(model, backend)
    source = data or saved.data
    if source is None:
        raise ConfigError(f"{model}: does not say what it was trained on; give the data after it")
    trained_on = saved.data is not None and same_source(source, saved.data)
    if saved.characters:
        _evaluate_text(saved, source, trained_on)
        return
    if trained_on:
        test = load_split(source, saved.seed)[1]
    else:
        train, rest = sources.load(source)
        test = rest if rest is not None else train
    loss = saved.loss if saved.loss in LOSSES else "cross_entropy"
    test = fit_targets(saved.fit(test), loss)
    wanted = [
        metrics.Accuracy(),
        metrics.ConfusionMatrix(),
        metrics.Precision(None),
        metrics.Recall(None),
        metrics.F1(None),
    ]
    result: dict[str, Any] = Trainer(saved.model, optim.SGD(), loss, wanted).evaluate(test)
    say("data", f"{source}: {len(test):,} test samples of {size_of(test)}")
    say("accuracy", f"{100 * result['accuracy']:.2f} %")
    say("loss", f"{result['loss']:.4g} ({loss})")
    console = Console(highlight=False)
    console.print(_by_class(result))
    _print_confusions(console, result["confusion_matrix"])


def _evaluate_text(saved: Saved, source: str, trained_on: bool) -> None:
    from xpnn import metrics, optim
    from xpnn.cli import textrecipe
    from xpnn.train import Trainer

    test, there = textrecipe.test_set(source, saved.characters, saved.shape[0], whole=not trained_on)
    result = Trainer(saved.model, optim.SGD(), "cross_entropy", metrics.Accuracy()).evaluate(test)
    say("data", f"{source}: {test.x.size:,} of {there:,} characters")
    say("accuracy", f"{100 * result['accuracy']:.2f} %")
    say("loss", textrecipe.verdict(result).removeprefix("loss "))


def _by_class(result: dict[str, Any]) -> Any:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for name in ("class", "samples", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    columns = (result[f"{name}_by_class"] for name in ("precision", "recall", "f1"))
    for label, (samples, *rates) in enumerate(zip(result["confusion_matrix"].sum(1), *columns, strict=True)):
        table.add_row(str(label), f"{samples:,}", *(f"{100 * rate:.1f} %" for rate in rates))
    return table


def _print_confusions(console: Any, matrix: Any) -> None:
    """The whole matrix where it fits the width, else the ten most frequent confusions."""
    import numpy as np
    from rich import box
    from rich.table import Table

    classes = len(matrix)
    width = 2 + max(len(str(matrix.max())), len(str(classes - 1)))
    table = Table(box=box.SIMPLE_HEAD)
    if (classes + 1) * width + 8 <= console.width:
        print("Rows: the label. Columns: what the network says.")
        table.add_column("", justify="right")
        for label in range(classes):
            table.add_column(str(label), justify="right")
        for label, row in enumerate(matrix):
            cells = [str(n) if n else "." for n in row]
            table.add_row(f"[bold]{label}[/]", *(f"[bold]{c}[/]" if i == label else c for i, c in enumerate(cells)))
    else:
        print("The most frequent confusions:")
        for name in ("label", "taken for", "times"):
            table.add_column(name, justify="right")
        wrong = matrix * (1 - np.eye(classes, dtype=matrix.dtype))
        for place in np.argsort(-wrong, axis=None, kind="stable")[:10]:
            label, said = divmod(int(place), classes)
            if wrong[label, said]:
                table.add_row(str(label), str(said), str(wrong[label, said]))
    console.print(table)
