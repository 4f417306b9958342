"""Shifted images on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made

SOURCE = Source("shift", {"shift": (REAL, ("int", "long long"))})


def _shift(outs, saved, x, by, fill, *, reach):
    args = (x, by, fill, outs[0], reach, *x.shape[1:], x.size)
    return made([SOURCE.kernel("shift", x.dtype, by.dtype).call(blocks(x.size), (256,), args)])


def _guard(specs, attrs):
    return floating(specs, attrs) and specs[1].dtype.name in ("int32", "int64")


OVERRIDES = {"shift": Override(_shift, guard=_guard)}
