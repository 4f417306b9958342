"""`xpnn train`."""

from __future__ import annotations

import importlib.util
import shlex
import time
from pathlib import Path
from typing import Annotated

import typer

from xpnn.cli import resuming
from xpnn.cli.common import BackendOption, choose, need_place, say
from xpnn.cli.interrupt import Interruptible, interrupted
from xpnn.cli.job import Wishes, is_text
from xpnn.errors import ConfigError

SUITS = "Default: what suits the data."
PICTURES = ("png", "svg", "pdf", "jpg")


def command(
    ctx: typer.Context,
    data: Annotated[
        str | None,
        typer.Argument(
            metavar="DATA",
            help="mnist, digits, a .csv or .npz file, a folder with IDX files, or a text, TEXT.txt. "
            "Default: MNIST, or the embedded digits where MNIST cannot be had.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Kind of network: mlp (dense layers), cnn, lenet5, or char-lstm, which learns to write as a text is "
            "written. Default: mlp; for a text, char-lstm.",
            show_default=False,
        ),
    ] = None,
    hidden: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIZE", help=f"Size of a hidden layer; several times or as 300,100 for more; 0 for none. {SUITS}"
        ),
    ] = None,
    layers: Annotated[
        int | None, typer.Option(metavar="N", help="LSTM layers of char-lstm. Default: 1.", min=1)
    ] = None,
    sequence: Annotated[
        int | None,
        typer.Option(metavar="N", help="Characters that the gradients of char-lstm go back over. Default: 100.", min=1),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(metavar="N", help=f"Passes over the training data. {SUITS}", min=1)
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            metavar="N", help=f"Samples an update; of a text, streams that are read side by side. {SUITS}", min=1
        ),
    ] = None,
    lr: Annotated[
        float | None,
        typer.Option(
            "--lr", "--learning-rate", metavar="RATE", help="Learning rate. Default: what suits data and optimizer."
        ),
    ] = None,
    schedule: Annotated[
        str | None,
        typer.Option(metavar="NAME", help=f"Of the learning rate over the epochs: cosine (to 0), constant. {SUITS}"),
    ] = None,
    optimizer: Annotated[
        str, typer.Option(metavar="NAME", help="sgd, momentum, nesterov, adagrad, rmsprop, adam or adamw.")
    ] = "adam",
    activation: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of the hidden layers: relu, sigmoid, tanh, gelu, ... Default: relu."),
    ] = None,
    loss: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="cross_entropy (the default), binary_cross_entropy, perceptron, or mean_squared_error, "
            "half_sum_of_squares, l1, huber (these four with sigmoid outputs and targets 0.1 and 0.9).",
        ),
    ] = None,
    dropout: Annotated[
        float | None, typer.Option(metavar="SHARE", help=f"Share of hidden outputs dropped in training. {SUITS}")
    ] = None,
    jitter: Annotated[
        int | None,
        typer.Option(
            metavar="PIXELS", help=f"Shift training images at random by up to so many; 0: not at all. {SUITS}", min=0
        ),
    ] = None,
    backend: BackendOption = "auto",
    precision: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="exact, fast (the default), or tf32, bf16, fp16: a GPU may round what its tensor cores multiply.",
        ),
    ] = None,
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
    """Train a network on labelled data or a text and say how good it is.

    A source without a test set is split: a fifth is kept for testing, of a text the last tenth. The same options and
    seed give the same network.

    \b
    Examples:
      xpnn train
      xpnn train digits --checkpoint model.safetensors --plot curve.png
      xpnn train mnist --model cnn --checkpoint m.safetensors
      xpnn train mnist --hidden 300 --hidden 100 --optimizer adamw --dropout 0.2
      xpnn train letters.csv --epochs 30 --validation 0.1 --log log.csv
      xpnn train mnist --checkpoint m.safetensors --resume m.safetensors
      xpnn train TEXT.txt --model char-lstm --checkpoint writer.safetensors
    """
    from xpnn import models
    from xpnn.cli import recipe, textrecipe
    from xpnn.core.backend import use
    from xpnn.core.precision import PRECISIONS
    from xpnn.core.precision import precision as arithmetic
    from xpnn.train import Callback, Checkpoint, CSVLog, Trainer
    from xpnn.train.resume import AnotherTraining

    name = choose("model", model or ("char-lstm" if is_text(data) else "mlp"), models.MODELS)
    if checkpoint_steps is not None and (checkpoint or resume) is None:
        raise ConfigError("--checkpoint-steps: expected --checkpoint PATH too")
    checkpoint = checkpoint or resume  # a run that goes on keeps its file up to date
    _check_places(checkpoint, plot, log)
    wishes = Wishes(
        *(name, hidden, layers, sequence, epochs, batch_size, lr, schedule, optimizer),
        *(activation, loss, dropout, jitter, validation, seed),
    )
    with arithmetic(choose("precision", precision or "fast", PRECISIONS)), use(backend) as place:
        job = (textrecipe if name == "char-lstm" else recipe).job(data, wishes)
        saver = Checkpoint(checkpoint, every_steps=checkpoint_steps) if checkpoint else None
        callbacks: list[Callback] = [c for c in (saver, CSVLog(log) if log else None) if c is not None]
        trainer = Trainer(job.network, job.optimizer, job.loss_function, job.metrics, callbacks, job.course, seed)
        begun = resuming.begun(resume)
        if not quiet:
            for label, text in job.facts:
                say(label, text)
            rate = f"lr {job.optimizer.lr:g} {job.schedule}"
            size = f"batch {job.batch}, epochs {job.epochs}"
            say("training", f"{optimizer}, {rate}, {size}, {job.loss_text}{job.images}, seed {seed}")
            say("backend", place.device)
            if begun:
                say("resuming", f"{resume}, {begun}")
        start = time.perf_counter()
        with Interruptible(trainer) as ctrl_c:
            try:
                settings = {"jitter": job.jitter, "progress": not quiet, "resume": resume}
                trainer.fit(job.train, job.epochs, job.batch_size, job.watched, **settings)
            except KeyboardInterrupt:
                ctrl_c.at_once = True
            except AnotherTraining as error:
                raise resuming.in_options(error) from None
        if ctrl_c.at_once or (ctrl_c.caught and trainer.epoch < job.epochs):
            raise interrupted(ctx, trainer, saver, ctrl_c.at_once)
        seconds = time.perf_counter() - start
        result = trainer.evaluate(job.test)
    say("test", f"{job.verdict(result)} (trained in {seconds:.1f} s)")
    if plot is not None:
        trainer.history.plot(plot)
    if quiet:
        return
    kept = resume if saver is None or saver.last is None else saver.last
    saved = [f"{what} in {path}" for what, path in (("model", kept), ("curve", plot), ("log", log)) if path]
    say("saved", ", ".join(saved) or "nothing; --checkpoint FILE saves the model")
    if kept is not None:
        say("next", f"{job.next} {shlex.quote(str(kept))}")


def _check_places(checkpoint: Path | None, plot: Path | None, log: Path | None) -> None:
    """Errors that would otherwise come when the training is over."""
    for path, option in ((checkpoint, "--checkpoint"), (plot, "--plot"), (log, "--log")):
        if path is not None:
            need_place(path, option)
    if plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise ConfigError("--plot: matplotlib is not installed; pip install 'xpnn[plot]'")
    if plot is not None:
        choose("--plot: picture type", plot.suffix.removeprefix("."), PICTURES)
