"""Saving a training and going on with it: what a checkpoint holds beside the arrays, and whether it is of this one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.core import random
from xpnn.data.files import AnyPath
from xpnn.errors import CheckpointError, ConfigError, XpnnError
from xpnn.train import checkpoint
from xpnn.train.meter import Meter
from xpnn.train.settings import fingerprints, plain, settings

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class AnotherTraining(CheckpointError):
    """A checkpoint with another setting: the innermost one that differs, what it is there and here."""

    def __init__(self, path: AnyPath, setting: str, there: Any, here: Any) -> None:
        what = "does not fit" if setting.startswith("model") else "is of another training"
        super().__init__(f"{path}: {what}: {setting} there is {str(there)[:60]}; here it is {str(here)[:60]}")
        self.path, self.setting, self.there, self.here = path, setting, there, here


def save(trainer: Trainer, path: AnyPath) -> None:
    parts = {"model": trainer.model.state(), "optimizer": trainer.optimizer.state(), "callback": {}}
    for i, callback in enumerate(trainer.callbacks):
        parts["callback"] |= {f"{i}/{name}": array for name, array in callback.arrays().items()}
    checkpoint.write(path, trainer.model, parts, state(trainer))


def state(trainer: Trainer) -> dict[str, Any]:
    """Where a training is and what its settings are, as plain data: what a checkpoint keeps beside the arrays."""
    if trainer._data is not None and "data" not in trainer._run:
        trainer._run |= fingerprints(*trainer._data)
    return {
        **(trainer._settings or settings(trainer)),
        "run": trainer._run,
        "epoch": trainer.epoch,
        "step": trainer.step,
        "batch": trainer._batch,
        "stop": trainer._decided,
        "meter": plain(trainer._meter.state(), "metrics"),
        "history": [{name: _number(name, v) for name, v in row.items()} for row in trainer.history.rows],
        "schedule_state": plain(trainer.schedule.state(), type(trainer.schedule).__name__),
        "callbacks": [[type(c).__name__, plain(c.state(), f"{type(c).__name__}.state")] for c in trainer.callbacks],
        "random": random.DEFAULT.state.tolist(),
    }


def _number(name: str, value: Any) -> int | float:
    number = value.item() if isinstance(value, np.generic) else value
    if not isinstance(number, (int, float)):
        raise ConfigError(f"history: expected numbers in its rows; got {name!r}: {str(value)[:60]!r}")
    return number


# Going on ---------------------------------------------------------------------------------------------------------


def resume(
    trainer: Trainer, path: AnyPath, run: dict[str, Any] | None = None, data_format: dict[str, Any] | None = None
) -> None:
    """Take over what `save` wrote, all or nothing.

    run, data_format: of the fit that goes on, its settings and what it feeds the network; None where there is none.
    """
    contents = checkpoint.read(path)
    theirs = contents.trainer
    if theirs is None:
        raise CheckpointError(f"{path}: holds a model alone; load it with xpnn.load(path, into=model)")
    undo = _undo(trainer)
    try:
        _need_sound(theirs)
        if run is not None and not theirs["run"]:
            raise CheckpointError(f"{path}: was saved before any fit. Use trainer.resume(path), then fit(...)")
        _need_same(path, trainer, theirs, run)
        if data_format is not None:
            here, there = ({k: v for k, v in f.items() if k != "data"} for f in (data_format, contents.input))
            _raise_difference(path, "input", here, there)
        if run is not None and trainer._data is not None:
            for key, print_ in fingerprints(*trainer._data).items():
                _raise_difference(path, key, print_, theirs["run"].get(key))
        checkpoint.restore(path, contents, into=trainer.model)
        trainer.optimizer.load_state(contents.optimizer)
        _take(trainer, theirs, contents.callback)
    except BaseException as error:
        undo()
        if isinstance(error, (KeyError, TypeError, ValueError, XpnnError)) and not isinstance(error, CheckpointError):
            why = f"no {error}" if isinstance(error, KeyError) else error
            raise CheckpointError(f"{path}: does not fit this training: {why}") from None
        raise


def _undo(trainer: Trainer) -> Any:
    """A function that puts everything back as it is now."""
    model, optimizer, schedule = trainer.model, trainer.optimizer, trainer.schedule
    weights, input_format, rows = model.state(), model.input_format, trainer.history.rows
    moments, remembered, words = optimizer.state(), schedule.state(), random.DEFAULT.state
    own, of_callbacks = dict(vars(trainer)), [dict(vars(c)) for c in trainer.callbacks]

    def undo() -> None:
        model.load_state(weights)
        model.input_format = input_format
        optimizer.load_state(moments)
        schedule.load_state(remembered)
        vars(trainer).update(own)
        trainer.history.rows = rows
        for callback, attributes in zip(trainer.callbacks, of_callbacks, strict=True):
            vars(callback).clear()
            vars(callback).update(attributes)
        random.DEFAULT.state = words

    return undo


def _need_sound(state: dict[str, Any]) -> None:
    """ConfigError naming the first entry that is not of its kind."""

    def whole(value: Any) -> bool:
        return type(value) is int and 0 <= value < 1 << 63

    def row(value: Any) -> bool:
        return isinstance(value, dict) and all(isinstance(v, (int, float)) for v in value.values())

    rows, words, entries, run = state["history"], state["random"], state["callbacks"], state["run"]
    sound = {
        **{name: whole(state[name]) for name in ("epoch", "step", "batch")},
        "stop": isinstance(state["stop"], bool),
        "run": isinstance(run, dict) and (not run or whole(run.get("last"))),
        "history": isinstance(rows, list) and all(map(row, rows)),
        "random": isinstance(words, list) and len(words) == 4 and all(whole(w) and w < 1 << 32 for w in words),
        "callbacks": isinstance(entries, list)
        and all(isinstance(e, list) and len(e) == 2 and isinstance(e[1], dict) for e in entries),
    }
    for name, good in sound.items():
        if not good:
            raise ConfigError(f"its {name} is {str(state[name])[:60]}")


def _need_same(path: AnyPath, trainer: Trainer, theirs: dict[str, Any], run: dict[str, Any] | None) -> None:
    for key, here in settings(trainer).items():
        _raise_difference(path, key, here, theirs[key])
    for key, here in (run or {}).items():
        _raise_difference(path, key, here, theirs["run"][key])
    names = [type(callback).__name__ for callback in trainer.callbacks]
    if names != (others := [name for name, _ in theirs["callbacks"]]):
        raise AnotherTraining(path, "callbacks", others, names)


def _raise_difference(path: AnyPath, name: str, here: Any, there: Any) -> None:
    lists = isinstance(here, list) and isinstance(there, list)
    if lists and (len(here) == len(there) or all(isinstance(entry, dict) for entry in here + there)):  # layers
        here, there = (dict(enumerate(values)) for values in (here, there))
    if isinstance(here, dict) and isinstance(there, dict):
        for key in dict.fromkeys([*here, *there]):
            _raise_difference(path, f"{name}.{key}", here.get(key), there.get(key))
    elif here != there:
        raise AnotherTraining(path, name, there, here)


def _take(trainer: Trainer, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    trainer.epoch, trainer.step, trainer._batch = state["epoch"], state["step"], state["batch"]
    trainer._decided, trainer._run, trainer._data = state["stop"], state["run"], None
    trainer._meter = Meter(trainer.metrics)
    trainer._meter.load_state(state["meter"])
    trainer.history.rows = state["history"]
    trainer.schedule.load_state(state["schedule_state"])
    random.DEFAULT.state = np.array(state["random"], np.uint32)
    for i, (callback, (name, entry)) in enumerate(zip(trainer.callbacks, state["callbacks"], strict=True)):
        own = {key.removeprefix(f"{i}/"): a for key, a in arrays.items() if key.startswith(f"{i}/")}
        try:
            callback.load_state(entry, own)
        except Exception as error:  # whatever a user's callback makes of a state it does not know
            raise ConfigError(f"{name}.load_state: {type(error).__name__}: {error}") from error
