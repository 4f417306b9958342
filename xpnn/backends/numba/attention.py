"""Attention on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import attention as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 14
"""Scores above which heads are shared among threads."""


def _saved(q, k, v, lengths=None, *, heads, causal, scale):
    """The logarithm of every query's sum."""
    N, T, _ = q.shape
    return (Spec((N, heads, T), q.dtype),)


def _work(phase, q, k, v, lengths=None, *, heads, causal, scale):
    """How many keys are no padding, and for each thread the scores (and their gradients) of a block of queries."""
    (N, T, _), S = q.shape, k.shape[1]
    items = N * heads
    threads = min(pool.threads(items * T * S, SPLIT), items)
    rows = min(T, kernels.MOST, max(8, kernels.BLOCK // max(S, 1)))
    scores = Spec((threads, rows, S), q.dtype)
    return (Spec((N,), np.dtype(np.int64)), *[scores] * (1 if phase == "forward" else 2))


def _ends(lengths, keys, out):
    if lengths is None:
        out.fill(keys)
    else:
        np.copyto(out, lengths, casting="unsafe")
        np.clip(out, 0, keys, out=out)
    return out


def _forward(outs, saved, q, k, v, lengths=None, *, heads, causal, scale, work):
    ends, scores = _ends(lengths, k.shape[1], work[0]), work[1]
    arrays = q, k, v, ends, heads, causal, scale, outs[0], saved[0]
    kernels.forward(len(scores), *arrays, scores)


def _backward(dins, douts, kept, *, heads, causal, scale, work):
    (q, k, v, *rest), (ends, p, dp) = kept.inputs, work
    _ends(rest[0] if rest else None, k.shape[1], ends)
    grads = (x[:0] if dx is None else dx for x, dx in zip((q, k, v), dins, strict=False))
    arrays = q, k, v, ends, douts[0], kept.saved[0], heads, causal, scale, *grads
    kernels.backward(len(p), *arrays, p, dp)


def _some(specs, attrs):
    return specs[0].dtype.char in "fd" and all(spec.size for spec in specs[:3])  # nothing to attend: the reference


OVERRIDES = {"attention": Override(_forward, _backward, _some, saved=_saved, work=_work)}
