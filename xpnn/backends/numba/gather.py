"""The batch gather on Numba."""

from __future__ import annotations

from functools import partial

from xpnn.core.contract import Override, made
from xpnn_kernels.numba import gather as kernels


def _rows(rows, *arrays):
    if not kernels.gather(*arrays):
        raise IndexError(f"gather: expected indices from 0 to {rows - 1}, and as many as are asked for")


def _gather(outs, saved, data, targets, order, at, scale, shift, *, size):
    rows, (x, y, next_at) = len(data), outs
    given = data.reshape(rows, -1), targets.reshape(rows, -1), order, at.reshape(1), scale.item(), shift.item()
    return made([partial(_rows, rows, *given, x.reshape(size, -1), y.reshape(size, -1), next_at.reshape(1))])


def _numeric(specs, attrs):
    return all(spec.dtype.kind in "iuf" and spec.dtype.char != "e" and spec.size for spec in specs)


OVERRIDES = {"gather": Override(_gather, guard=_numeric)}
