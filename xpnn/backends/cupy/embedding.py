"""Embedding and one-hot rows on CUDA."""

from __future__ import annotations

import numpy as np

from xpnn.backends.cupy.module import INTEGER, INTEGER_DTYPES, REAL, Source, blocks
from xpnn.core.contract import Override, floating, made

IDS = (REAL, INTEGER)
SOURCE = Source("embedding", {"gather": IDS, "scatter": IDS, "one_hot": IDS, "clear": (REAL,)})


def _forward(outs, saved, table, ids):
    (V, E), y = table.shape, outs[0]
    kernel = SOURCE.kernel("gather", table.dtype, ids.dtype)
    return made([kernel.call(blocks(y.size), (256,), (table, ids, y, V, E, y.size))])


def _backward(dins, douts, kept):
    dtable, ids = dins[0], kept.inputs[1]
    (V, E), P = dtable.shape, ids.size
    width = min(256, 1 << max(E - 1, 0).bit_length())
    by_row, calls = V <= P, []
    if not by_row:
        clear = SOURCE.kernel("clear", dtable.dtype)
        calls.append(clear.call(blocks(dtable.size), (256,), (dtable, dtable.size)))
    if P:
        args = (douts[0], ids, dtable, by_row, V, E, P, width)
        scatter = SOURCE.kernel("scatter", dtable.dtype, ids.dtype)
        calls.append(scatter.call((min(V, P), max(1, -(-E // width))), (256,), args))
    return made(calls)


def _one_hot(outs, saved, ids, *, classes, dtype):
    y, kernel = outs[0], SOURCE.kernel("one_hot", np.dtype(dtype), ids.dtype)
    return made([kernel.call(blocks(y.size), (256,), (ids, y, classes, y.size))])


def _named(ids):
    return ids.dtype in INTEGER_DTYPES and ids.size < 1 << 31


OVERRIDES = {
    "embedding": Override(_forward, _backward, lambda specs, attrs: floating(specs, attrs) and _named(specs[1])),
    "one_hot": Override(_one_hot, guard=lambda specs, attrs: _named(specs[0])),
}
