"""The loss of an epoch on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy.module import REAL, Source
from xpnn.core.contract import Override, made

SOURCE = Source("tally", {"tally": (REAL, REAL)})


def _tally(outs, saved, sums, halted, loss, *, samples):
    kernel = SOURCE.kernel("tally", sums.dtype, loss.dtype)
    return made([kernel.call((1,), (1,), (sums, halted, loss, samples, *outs))])


def _floating(specs, attrs):
    return specs[0].dtype.char in "fd" and specs[2].dtype.char in "fd"


OVERRIDES = {"tally": Override(_tally, guard=_floating)}
