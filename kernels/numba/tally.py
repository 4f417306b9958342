"""The loss of an epoch, added up: a few numbers, so that what it costs is the call."""

from __future__ import annotations

import math

from xpnn_kernels.numba.jit import kernel


@kernel
def tally(sums, halted, loss, samples, new_sums, new_halted):
    """sums (3,) and halted (1,) after one more loss (1,): see the record."""
    value, bad, steps, stop = sums.dtype.type(loss[0]), sums[1], sums[2] + 1, halted[0]
    if stop == 0 and not math.isfinite(value):
        bad, stop = value, int(steps)
    new_sums[0] = sums[0] + value * samples
    new_sums[1] = bad
    new_sums[2] = steps
    new_halted[0] = stop
