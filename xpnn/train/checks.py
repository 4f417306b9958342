"""ConfigError for arguments of the wrong kind, before anything is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from xpnn.data.dataset import Dataset
from xpnn.errors import ConfigError


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
