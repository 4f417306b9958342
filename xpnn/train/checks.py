"""ConfigError for arguments of the wrong kind or that do not belong together, before anything is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from xpnn.data.dataset import Dataset
from xpnn.errors import ConfigError
from xpnn.nn import Module
from xpnn.optim import Optimizer
from xpnn.train.callback import Callback


def several(what: str, given: Any, kind: type | tuple[type, ...]) -> list[Any]:
    """One, or several in a list."""
    if isinstance(given, kind):
        return [given]
    if not isinstance(given, Iterable):
        raise ConfigError(f"Trainer: expected {what} in a list; got {type(given).__name__}")
    return list(given)


def whole(owner: str, least: int = 1, **settings: Any) -> None:
    """Are these whole numbers, and none below `least`?"""
    for name, value in settings.items():
        if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < least:
            raise ConfigError(f"{owner}: expected {name} as a whole number >= {least}; got {value!r}")


def need_dataset(owner: str, data: Any) -> None:
    if not isinstance(data, Dataset):
        raise ConfigError(
            f"{owner}: expected a Dataset; got {type(data).__name__}. Make one: xpnn.data.from_arrays(x, y)"
        )


def need_callbacks(callbacks: list[Any]) -> None:
    for callback in callbacks:
        if not isinstance(callback, Callback):
            raise ConfigError(f"Trainer: expected callbacks, objects of subclasses of Callback; got {callback!r}")


def need_all_bound(model: Module, optimizer: Optimizer) -> None:
    for name, p in model.named_parameters():
        if p.requires_grad and p.arena is not optimizer.arena:
            raise ConfigError(
                f"Trainer: expected an optimizer of all parameters; it does not train {name}. Use optimizer.bind(model)"
            )
