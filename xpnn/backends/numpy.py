"""The oracle: every op's reference, on NumPy. It has no overrides, by design."""

from __future__ import annotations

import numpy as xp

from xpnn.core.contract import Backend
from xpnn.errors import BackendError


class NumpyBackend(Backend):
    name = "numpy"
    xp = xp


def create(index: int) -> Backend:
    if index:
        raise BackendError(f"backend 'numpy:{index}': numpy has one device only; use 'numpy'")
    return NumpyBackend()
