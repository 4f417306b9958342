"""Dropout on CUDA: the masks of every backend, drawn in the kernel."""

from __future__ import annotations

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, made
from xpnn.ops.dropout import threshold

SOURCE = Source("dropout", {"forward": (REAL,), "backward": (REAL,)})


def _call(name, x, *args):
    return made([SOURCE.kernel(name, x.dtype).call(blocks(x.size, 1024), (256,), (x, *args, x.size))])


def _forward(outs, saved, x, state, *, rate):
    return _call("forward", x, state, threshold(rate), 1 / (1 - rate), outs[0], saved[0], outs[1])


def _backward(dins, douts, kept, *, rate):
    return _call("backward", douts[0], kept.saved[0], 1 / (1 - rate), dins[0])


OVERRIDES = {"dropout": Override(_forward, _backward)}
