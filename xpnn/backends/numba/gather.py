"""The batch gather on Numba."""

from __future__ import annotations

from functools import partial

from xpnn.core.contract import Override, made
from xpnn_kernels.numba import gather as kernels


def _rows(data, indices, scale, shift, out):
    if not kernels.gather(data, indices, scale.item(), shift.item(), out):
        raise IndexError(f"gather: expected indices from 0 to {len(data) - 1}")


def _gather(outs, saved, data, indices, scale, shift):
    rows, out = data.reshape(len(data), -1), outs[0].reshape(len(indices), -1)
    return made([partial(_rows, rows, indices, scale, shift, out)])


def _numeric(specs, attrs):
    return specs[0].dtype.kind in "fiu" and specs[2].dtype.char in "fd" and specs[1].dtype.kind in "iu"


OVERRIDES = {"gather": Override(_gather, guard=_numeric)}
