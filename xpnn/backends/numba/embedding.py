"""Embedding and one-hot rows on Numba."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn_kernels.numba import embedding as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 15
"""Elements above which rows are shared among threads."""


def _forward(outs, saved, table, ids):
    ids, y = ids.reshape(-1), outs[0].reshape(ids.size, table.shape[1])
    threads = pool.threads()
    if threads > 1 and y.size >= SPLIT:
        kernels.gather(threads, table, ids, y)
    else:
        kernels.gather_places(table, ids, y, 0, ids.size)


def _backward(dins, douts, kept):
    ids, dtable = kept.inputs[1].reshape(-1), dins[0]
    dy = douts[0].reshape(ids.size, dtable.shape[1])
    threads = pool.threads()
    if threads > 1 and dy.size + dtable.size >= SPLIT and dtable.shape[1] > 16:
        kernels.scatter(threads, dy, ids, dtable)
    else:
        kernels.scatter_columns(dy, ids, dtable, 0, dtable.shape[1])


def _one_hot(outs, saved, ids, *, classes, dtype):
    kernels.one_hot(ids.reshape(-1), outs[0].reshape(-1, classes))


def _always(specs, attrs):
    return True


OVERRIDES = {"embedding": Override(_forward, _backward), "one_hot": Override(_one_hot, guard=_always)}
