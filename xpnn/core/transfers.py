"""Copies between the host and a device, and waits for it: counted, for they are what keeps a device from working."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

_seen: Counter[str] = Counter()


class transfers:
    """Counts what happens inside the block, in the whole process, on every device.

    to_device  copies of arrays from the host
    to_host    copies to the host, of arrays or of a number that is looked at (`.item()`, a loss that is printed); each
               waits for the device
    waits      for the device alone

    Backends on the host have none. Within an epoch, `Trainer.fit` makes none but at the looks of its callbacks.

    >>> import xpnn
    >>> with xpnn.transfers() as seen:
    ...     _ = xpnn.tensor([1.0, 2.0], backend="numpy").numpy()
    >>> seen
    <transfers: 0 to device, 0 to host, 0 waits>
    """

    def __init__(self) -> None:
        self._start = self._end = Counter(_seen)
        self._open = False

    def __enter__(self) -> transfers:
        self._start, self._open = Counter(_seen), True
        return self

    def __exit__(self, *_: object) -> None:
        self._end, self._open = Counter(_seen), False

    def _count(self, kind: str) -> int:
        return (_seen if self._open else self._end)[kind] - self._start[kind]

    to_device = property(lambda self: self._count("to_device"))
    to_host = property(lambda self: self._count("to_host"))
    waits = property(lambda self: self._count("waits"))

    def __repr__(self) -> str:
        return f"<transfers: {self.to_device} to device, {self.to_host} to host, {self.waits} waits>"


def note(kind: str) -> None:
    """A backend has done this: "to_device", "to_host", "waits"."""
    _seen[kind] += 1


def number(value: Any) -> Any:
    """The number that a 0-d array of any backend holds, or the number itself."""
    if isinstance(value, (int, float, np.generic, np.ndarray)):
        return value
    note("to_host")
    return value.item()
