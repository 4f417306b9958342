"""Running sums: an array that ops add to in place, batch after batch, and that stays where it is meanwhile."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.core.contract import Backend
from xpnn.core.op import Spec
from xpnn.core.recording import active
from xpnn.core.tensor import Tensor


class Sums:
    """Zeros at first, on the host; from the first batch on they are where the batches are."""

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self._host = np.zeros(shape, dtype)
        self._placed: Tensor | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return self._host.shape

    def on(self, backend: Backend) -> Tensor:
        """The sums there, always the same tensor: moved when they are elsewhere."""
        if self._placed is None or self._placed.backend is not backend:
            values = self.read()
            array = backend.empty(Spec(values.shape, values.dtype))  # memory of its own, on a host too
            backend.set(array, backend.from_host(values) if values.any() else 0)
            self._placed = Tensor(array, backend)
        recording = active()
        if recording is not None:
            recording.guard(self._place)
        return self._placed

    def _place(self) -> int:
        return id(self._placed)

    def read(self) -> np.ndarray:
        """A copy on the host; waits for the device."""
        t = self._placed
        return (self._host if t is None else t.backend.to_host(t.data)).copy()

    def write(self, values: Any) -> None:
        """Go on from these values."""
        self._host[...] = values
        t = self._placed
        if t is not None:
            t.backend.set(t.data, t.backend.from_host(self._host.copy()) if self._host.any() else 0)

    def __deepcopy__(self, memo: Any) -> Sums:
        """On the host: a backend is nobody's to copy."""
        other = Sums(self._host.shape, self._host.dtype)
        other.write(self.read())
        return other
