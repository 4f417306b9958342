"""`xpnn train`."""

from __future__ import annotations

import contextlib
import importlib.util
import shlex
import signal
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from xpnn.cli.common import BackendOption, choose, default_data, load_split, need_place, say, size_of
from xpnn.errors import CheckpointError, ConfigError

if TYPE_CHECKING:
    from xpnn.train import Checkpoint, Trainer

INTERRUPTED = 130  # 128 + SIGINT, as shells have it
SUITS = "Default: what suits the data."
PICTURES = ("png", "svg", "pdf", "jpg")


def command(
    ctx: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="mnist, digits, a .csv or .npz file, or a folder with IDX files. "
            "Default: MNIST, or the embedded digits where MNIST cannot be had.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str, typer.Option(metavar="NAME", help="Kind of network: mlp, dense layers one after the other.")
    ] = "mlp",
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE", help=f"Size of a hidden layer; several times or as 300,100 for more; 0 for none. {SUITS}"
        ),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help=f"Passes over the training data. {SUITS}", min=1)
    ] = None,
    batch_size: Annotated[int | None, typer.Option(metavar="N", help=f"Samples an update. {SUITS}", min=1)] = None,
    lr: Annotated[
        float | None, typer.Option(metavar="RATE", help="Learning rate. Default: what suits data and optimizer.")
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Of the learning rate over the epochs: cosine (to 0), constant. {SUITS}"),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.")
    ] = "adam",
    activation: Annotated[
        str, typer.Option(metavar="NAME", help="Of the hidden layers: relu, sigmoid, tanh, gelu, ...")
    ] = "relu",
    loss: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="cross_entropy, binary_cross_entropy, perceptron, or mean_squared_error, half_sum_of_squares, l1, "
            "huber (these four with sigmoid outputs and targets 0.1 and 0.9).",
        ),
    ] = "cross_entropy",
    dropout: Annotated[
        float | None, typer.Option(metavar="SHARE", help=f"Share of hidden outputs dropped in training. {SUITS}")
    ] = None,
    backend: BackendOption = "auto",
    seed: Annotated[int, typer.Option(metavar="N", help="Of the weights, the shuffles and the splits.", min=0)] = 0,
    validation: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Share of the training data held back to watch the training with. Default: it is watched with the "
            "test data.",
            show_default=False,
        ),
    ] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save model and training here, after every epoch and at Ctrl-C.")
    ] = None,
    checkpoint_steps: Annotated[
        int | None, typer.Option(metavar="N", help="Save after every so many updates too.", min=1)
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Go on from this checkpoint; give the options it was started with."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the learning curve into this .png, .svg or .pdf.")
    ] = None,
    log: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Keep loss and metrics of every epoch in this CSV file.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the result and nothing else.")] = False,
) -> None:
    """Train a network on labelled data and say how good it is.

    A source without a test set is split: a fifth is kept for testing. The same options and seed give the same network.

    \b
    Examples:
      xpnn train
      xpnn train digits --checkpoint model.safetensors --plot curve.png
      xpnn train mnist --hidden 300 --hidden 100 --optimizer adamw --dropout 0.2
      xpnn train letters.csv --epochs 30 --validation 0.1 --log log.csv
      xpnn train mnist --checkpoint m.safetensors --resume m.safetensors
    """
    from xpnn.cli import recipe
    from xpnn.core import random
    from xpnn.core.backend import use
    from xpnn.losses import LOSSES
    from xpnn.train import Callback, Checkpoint, CSVLog, Trainer

    choose("loss", loss, LOSSES)
    if checkpoint_steps is not None and (checkpoint or resume) is None:
        raise ConfigError("--checkpoint-steps: expected --checkpoint PATH too")
    checkpoint = checkpoint or resume  # a run that goes on keeps its file up to date
    _check_places(checkpoint, plot, log)
    if resume is not None and not resume.is_file():
        raise CheckpointError(f"--resume {resume}: no such file")
    with use(backend) as place:
        train, test = default_data(seed) if data is None else load_split(data, seed)
        usual = recipe.defaults_for(train)
        train, test = (recipe.fit_targets(part, loss) for part in recipe.fit_inputs(train, test))
        watched = test
        if validation is not None:
            rest, watched = train.split(validation, seed)
            train = replace(rest, name=train.name)
        sizes = recipe.parse_hidden(hidden) if hidden else usual.hidden
        dropout = usual.dropout if dropout is None else dropout
        epochs, batch_size = epochs or usual.epochs, batch_size or usual.batch_size
        random.seed(seed)
        network = recipe.build_model(model, train, sizes, activation, dropout, loss)
        method = recipe.make_optimizer(optimizer, lr, usual.lr)
        saver = Checkpoint(checkpoint, every_steps=checkpoint_steps) if checkpoint else None
        callbacks: list[Callback] = [c for c in (saver, CSVLog(log) if log else None) if c is not None]
        schedule = schedule or usual.schedule
        course = recipe.make_schedule(schedule, epochs)
        trainer = Trainer(network, method, loss, ["accuracy"], callbacks, course, seed)
        if not quiet:
            held = "" if watched is test else f"{len(watched):,} validation, "
            say("data", f"{train.name}: {len(train):,} training, {held}{len(test):,} test samples of {size_of(train)}")
            say("model", recipe.describe_model(model, network, sizes, activation, dropout))
            rate = f"lr {method.lr:g} {schedule}"
            say("training", f"{optimizer}, {rate}, batch {batch_size}, epochs {epochs}, {loss}, seed {seed}")
            say("backend", place.device)
        start = time.perf_counter()
        with Interruptible(trainer) as ctrl_c:
            try:
                trainer.fit(train, epochs, batch_size, watched, progress=not quiet, resume=resume)
            except KeyboardInterrupt:
                ctrl_c.at_once = True
            except CheckpointError as error:
                if not any(words in str(error) for words in ("of another training", "does not fit")):
                    raise
                raise CheckpointError(f"{error}. Give the options that the run was started with") from None
        if ctrl_c.at_once or (ctrl_c.caught and trainer.epoch < epochs):
            raise _interrupted(ctx, trainer, saver, ctrl_c.at_once)
        seconds = time.perf_counter() - start
        result = trainer.evaluate(test)
    say("test", f"accuracy {100 * result['accuracy']:.2f} %, loss {result['loss']:.4g} (trained in {seconds:.1f} s)")
    if plot is not None:
        trainer.history.plot(plot)
    if quiet:
        return
    kept = resume if saver is None or saver.last is None else saver.last
    saved = [f"{what} in {path}" for what, path in (("model", kept), ("curve", plot), ("log", log)) if path]
    say("saved", ", ".join(saved) or "nothing; --checkpoint FILE saves the model")
    if kept is not None:
        say("next", f"xpnn evaluate {shlex.quote(str(kept))}")


def _check_places(checkpoint: Path | None, plot: Path | None, log: Path | None) -> None:
    """Errors that would otherwise come when the training is over."""
    for path, option in ((checkpoint, "--checkpoint"), (plot, "--plot"), (log, "--log")):
        if path is not None:
            need_place(path, option)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--plot: matplotlib is not installed; pip install 'xpnn[plot]'")
    if plot is not None:
        choose("--plot: picture type", plot.suffix.removeprefix("."), PICTURES)


class Interruptible:
    """Inside, the first Ctrl-C lets the update under way end; the second raises KeyboardInterrupt as ever."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.caught, self.at_once = trainer, False, False

    def __enter__(self) -> Interruptible:
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGINT, self._stop)
        return self

    def __exit__(self, *_: object) -> None:
        if self._main:
            signal.signal(signal.SIGINT, self._before)

    def _stop(self, *_: object) -> None:
        if self.caught:
            raise KeyboardInterrupt
        self.caught = self.trainer.stop = True


def _interrupted(ctx: typer.Context, trainer: Trainer, saver: Checkpoint | None, at_once: bool) -> typer.Exit:
    """Save where training is, unless it broke off inside an update; say how to go on."""
    where = f"xpnn: interrupted in epoch {trainer.epoch + 1} after {trainer.step:,} updates"
    if saver is None:
        typer.echo(f"{where}; nothing is saved. With --checkpoint FILE a run can go on", err=True)
        return typer.Exit(INTERRUPTED)
    last = saver.last
    if not at_once:
        with contextlib.suppress(KeyError):  # a file name that asks for what only the end of an epoch has
            now = saver.path.format(epoch=trainer.epoch, step=trainer.step)
            trainer.save(now)
            last = now
    if last is None:
        typer.echo(f"{where}; nothing is saved yet", err=True)
    else:
        words = list(ctx.find_root().meta["xpnn.args"])
        while "--resume" in words:
            del words[words.index("--resume") : words.index("--resume") + 2]
        typer.echo(f"{where}; go on with: {shlex.join(['xpnn', *words, '--resume', last])}", err=True)
    return typer.Exit(INTERRUPTED)
