"""ConfigError for arguments of the wrong kind or that do not belong together, before anything is done with them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import wraps
from inspect import signature
from typing import Any, ParamSpec, TypeVar

import numpy as np

from xpnn.data.dataset import need_dataset
from xpnn.errors import ConfigError
from xpnn.nn import Module
from xpnn.optim import Optimizer
from xpnn.train.callback import Callback

P = ParamSpec("P")
R = TypeVar("R")


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
            raise ConfigError(f"{owner}: expected {name} as a whole number >= {least}; got {_shown(value)}")


def _shown(value: Any) -> str:
    """The value where it is short, the kind of thing that it is otherwise: an array fills lines."""
    text = repr(value)
    return text if len(text) <= 40 and "\n" not in text else type(value).__name__


def takes_dataset(method: Callable[P, R]) -> Callable[P, R]:
    """A method of a Dataset, looked at before Python counts the arguments: of fit(x, y, epochs=5), as other libraries
    have it, that would say "multiple values for argument 'epochs'"."""
    name = list(signature(method).parameters)[1]

    @wraps(method)
    def checked(*args: P.args, **settings: P.kwargs) -> R:
        need_dataset(method.__name__, args[1] if len(args) > 1 else settings.get(name))
        return method(*args, **settings)

    return checked


def need_module(model: Any) -> None:
    if not isinstance(model, Module):
        what = f"the class {model.__name__}. Make one of it" if isinstance(model, type) else type(model).__name__
        raise ConfigError(f"Trainer: expected a model, an xpnn.nn.Module; got {what}")


def need_callbacks(given: list[Any]) -> list[Callback]:
    for callback in given:
        if not isinstance(callback, Callback):
            raise ConfigError(f"Trainer: expected callbacks, objects of subclasses of Callback; got {callback!r}")
    return given


def need_all_bound(model: Module, optimizer: Optimizer) -> None:
    for name, p in model.named_parameters():
        if p.requires_grad and p.arena is not optimizer.arena:
            raise ConfigError(
                f"Trainer: expected an optimizer of all parameters; it does not train {name}. Use optimizer.bind(model)"
            )
