"""Copies on Numba: NumPy's own are as fast as memory."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import plain


def _copy(outs, saved, into, x):
    np.copyto(outs[0], x)


OVERRIDES = {"copy": plain(_copy)}
