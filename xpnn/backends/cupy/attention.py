"""Attention on CUDA."""

from __future__ import annotations

import numpy as np

from xpnn.backends.cupy.formats import FORMATS, ROUNDED, format_of
from xpnn.backends.cupy.module import INTEGER, INTEGER_DTYPES, Source
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

SOURCE = Source(
    "attention",
    {"forward": (FORMATS, INTEGER), "inner": (FORMATS,), "backward": (FORMATS, ("DQ", "DK", "DV"))},
)
FEATURES = 64
"""Of what a block computes."""


def _guard(specs, attrs):
    """There is something to attend, and lengths are of a type that kernels read."""
    known = len(specs) == 3 or specs[3].dtype in INTEGER_DTYPES
    return floating(specs, attrs) and known and all([spec.size for spec in specs])


def _saved(q, k, v, lengths=None, *, heads, causal, scale, precision="fast"):
    """The logarithm of every query's sum, and the lengths within 0..S."""
    N, T, _ = q.shape
    return Spec((N, T, heads), q.dtype), Spec((0 if lengths is None else N,), np.dtype(np.int32))


def _work(phase, q, k, v, lengths=None, *, heads, causal, scale, precision="fast"):
    """The sum of p dp of every query."""
    N, T, _ = q.shape
    return (Spec((N, T, heads), q.dtype),) if phase == "backward" else ()


def _sizes(q, k, v, heads):
    """(T, S, D, V) of a head."""
    return q.shape[1], k.shape[1], q.shape[2] // heads, v.shape[2] // heads


def _grid(x, heads, form):
    """A block for every tile of rows of every head, and of its features."""
    (N, rows, features), tile = x.shape, 128 if form in ROUNDED.values() else 64
    return -(-rows // tile) * heads * N, -(-(features // heads) // FEATURES)


def _forward(outs, saved, q, k, v, lengths=None, *, heads, causal, scale, precision="fast", work):
    (logs, ends), form = saved, format_of(q.dtype, precision)
    kernel = SOURCE.kernel("forward", form, "int" if lengths is None else lengths.dtype)
    args = (q, k, v, lengths, ends, outs[0], logs, *_sizes(q, k, v, heads), heads, causal, scale)
    return made([kernel.call(_grid(outs[0], heads, form), (256,), args)])


def _backward(dins, douts, kept, *, heads, causal, scale, precision="fast", work):
    (q, k, v, *more), (logs, ends), (inner,), dy = kept.inputs, kept.saved, work, douts[0]
    rows, V = inner.size, v.shape[2] // heads
    form, calls = format_of(q.dtype, precision), []
    if dins[0] is not None or dins[1] is not None:
        args = (kept.outs[0], dy, inner, rows, V)
        calls.append(SOURCE.kernel("inner", form).call((min(-(-rows // 8), 1 << 16),), (256,), args))
    for what, out in zip(("DQ", "DK", "DV"), dins, strict=False):
        if out is not None:
            read = q, k, v, ends if more else None, dy, logs, inner
            args = (*read, out, *_sizes(q, k, v, heads), heads, causal, scale)
            calls.append(SOURCE.kernel("backward", form, what).call(_grid(out, heads, form), (256,), args))
    return made(calls)


OVERRIDES = {"attention": Override(_forward, _backward, _guard, saved=_saved, work=_work, precision=True)}
