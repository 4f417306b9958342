"""The loss of an epoch, added up: a few numbers, so that what it costs is the call."""

from __future__ import annotations

import math

from xpnn_kernels.numba.jit import kernel


@kernel
def tally(sums, halted, loss, samples, new_sums, new_halted):
    """sums (2,) and halted (1,) after one more loss (1,): see the record."""
    value, stop = sums.dtype.type(loss[0]), halted[0]
    if stop == 0 and not math.isfinite(value):
        stop = value
    new_sums[0] = sums[0] + value * samples
    new_sums[1] = sums[1] + (1 if stop == 0 else 0)
    new_halted[0] = stop
