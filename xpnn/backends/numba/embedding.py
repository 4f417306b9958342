"""Embedding and one-hot rows on Numba."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn_kernels.numba import embedding as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 15
"""Elements above which rows are shared among threads."""


def _forward(outs, saved, table, ids):
    ids, y = ids.reshape(-1), outs[0].reshape(ids.size, table.shape[1])
    kernels.gather(pool.threads(y.size, SPLIT), table, ids, y)


def _backward(dins, douts, kept):
    ids, dtable = kept.inputs[1].reshape(-1), dins[0]
    dy = douts[0].reshape(ids.size, dtable.shape[1])
    threads = 1 if dtable.shape[1] <= 16 else pool.threads(dy.size + dtable.size, SPLIT)
    kernels.scatter(threads, dy, ids, dtable)


def _one_hot(outs, saved, ids, *, classes, dtype):
    kernels.one_hot(ids.reshape(-1), outs[0].reshape(-1, classes))


def _always(specs, attrs):
    return True


OVERRIDES = {"embedding": Override(_forward, _backward), "one_hot": Override(_one_hot, guard=_always)}
