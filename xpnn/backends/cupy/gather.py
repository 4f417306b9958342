"""The batch gather on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, made

SOURCE = Source("gather", {"gather": (("unsigned char", *REAL), ("int", "long long"), REAL)})


def _gather(outs, saved, data, indices, scale, shift):
    out, rows = outs[0], len(data)
    kernel = SOURCE.kernel("gather", data.dtype, indices.dtype, out.dtype)
    args = (data, indices, scale, shift, out, rows, max(data.size // max(rows, 1), 1), out.size)
    return made([kernel.call(blocks(out.size), (256,), args)])


def _guard(specs, attrs):
    data, indices, scale = (spec.dtype.name for spec in specs[:3])
    floats = ("float32", "float64")
    return data in ("uint8", *floats) and indices in ("int32", "int64") and scale in floats


OVERRIDES = {"gather": Override(_gather, guard=_guard)}
