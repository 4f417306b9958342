"""Choices on CUDA."""

from __future__ import annotations

from math import inf

import numpy as np

from xpnn.backends.cupy import broadcast
from xpnn.backends.cupy.broadcast import sums, walk
from xpnn.backends.cupy.module import INTEGER, REAL, WHOLE_DTYPES, Source, blocks
from xpnn.backends.cupy.reduction import launches
from xpnn.core.contract import Override, floating, made

SOURCE = Source(
    "select", {**dict.fromkeys(("clip", "clip_back", "where"), (REAL,)), "where_back": (REAL, ("true", "false"))}
)
WHOLE = Source("select", {"where": ((*INTEGER, "bool"),)})


def _run(name, out, *args):
    return made([SOURCE.kernel(name, out.dtype).call(blocks(out.size), (256,), (*args, out.size))])


def _bounds(low, high):
    return -inf if low is None else low, inf if high is None else high


def _clip(outs, saved, x, *, low, high):
    return _run("clip", outs[0], x, outs[0], *_bounds(low, high))


def _clip_backward(dins, douts, kept, *, low, high):
    return _run("clip_back", dins[0], kept.inputs[0], douts[0], dins[0], *_bounds(low, high))


def _where(outs, saved, *inputs, work):
    source, z = SOURCE if outs[0].dtype.kind == "f" else WHOLE, outs[0]
    args = (*inputs, z, walk(*[x.shape for x in inputs]), z.size)
    return made([source.kernel("where", z.dtype).call(blocks(z.size), (256,), args)])


def _where_backward(dins, douts, kept, work):
    chosen, dz, calls = kept.inputs[0], douts[0], []
    for dx, by in zip(dins[1:], ("true", "false"), strict=True):
        if dx is not None:
            kernel = SOURCE.kernel("where_back", dz.dtype, by)
            plan = sums(dx.shape, *[spec.shape for spec in kept.specs[:2]], dz.shape)
            calls += launches(kernel, (chosen, dz), *plan, dx, work)
    return made(calls)


def _where_work(phase, *specs):
    shapes = [spec.shape for spec in specs]
    if phase == "forward":
        return ()
    return broadcast.work(specs[1].dtype, shapes[1:], *shapes[:2], np.broadcast_shapes(*shapes))


def _where_guard(specs, attrs):
    served = floating(specs[1:], attrs) or specs[1].dtype in WHOLE_DTYPES
    return served and walk(*[spec.shape for spec in specs]) is not None


OVERRIDES = {
    "clip": Override(_clip, _clip_backward),
    "where": Override(_where, _where_backward, _where_guard, work=_where_work),
}
