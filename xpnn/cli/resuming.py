"""What `xpnn train --resume` says: how far the run had come, and by which option this one is another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xpnn.errors import CheckpointError

if TYPE_CHECKING:
    from xpnn.train.resume import AnotherTraining

OPTIONS = {
    "optimizer": "--optimizer",
    "loss": "--loss",
    "seed": "--seed",
    "base_lr": "--lr",
    "schedule.type": "--schedule",
    "schedule.total": "--epochs",
    "precision": "--precision",
    "batch_size": "--batch-size",
    "jitter": "--jitter",
    "epochs": "--epochs",
}
"""The option that a setting in a checkpoint is the value of."""
DEPENDS_ON = {
    "model": "the data, --model, --hidden, --layers, --activation, --dropout and, of a text, --batch-size",
    "samples": "the data, --validation and, of a text, --sequence",
    "input": "the data and, of a text, --sequence",
    "data": "the data and --validation",
    "validation": "the data and --validation",
    "callbacks": "--log",
}
"""What the others depend on, by the first of their names."""


def begun(resume: Path | None) -> str:
    """How far the run that goes on had come; "" where there is none, or its file does not say."""
    from xpnn.train import checkpoint

    if resume is None:
        return ""
    if not resume.is_file():
        raise CheckpointError(f"--resume {resume}: no such file")
    state = checkpoint.read(resume).trainer or {}
    return f"after {state.get('epoch')} epochs and {state.get('step')} updates" if state else ""


def in_options(error: AnotherTraining) -> CheckpointError:
    """The same in the words of the command line."""
    option, causes = OPTIONS.get(error.setting), DEPENDS_ON.get(error.setting.partition(".")[0])
    what = str(error)
    if option is not None:
        there, here = (value.lower() if isinstance(value, str) else value for value in (error.there, error.here))
        what = f"{error.path}: was started with {option} {there}; here it is {here}"
    elif causes is not None:
        what = f"{error}. It depends on {causes}"
    return CheckpointError(f"{what}. Give the options that the run was started with")
