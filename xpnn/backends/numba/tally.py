"""The loss of an epoch on Numba."""

from __future__ import annotations

from functools import partial

from xpnn.core.contract import Override, made
from xpnn_kernels.numba import tally as kernels


def _tally(outs, saved, sums, halted, loss, *, samples):
    given = sums, halted.reshape(1), loss.reshape(1), samples
    return made([partial(kernels.tally, *given, outs[0], outs[1].reshape(1))])


def _floating(specs, attrs):
    return specs[0].dtype.char in "fd" and specs[2].dtype.char in "fd"


OVERRIDES = {"tally": Override(_tally, guard=_floating)}
