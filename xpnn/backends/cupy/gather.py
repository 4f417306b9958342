"""The batch gather on CUDA."""

from __future__ import annotations

import numpy as np

from xpnn.backends.cupy.module import Source, blocks
from xpnn.core.contract import Override, made

STORED, NUMBERS = ("unsigned char", "float", "double", "int", "long long"), ("float", "double", "int", "long long")
SOURCE = Source("gather", {"gather": (STORED, NUMBERS)})
WORD = np.dtype(np.int32)


def _gather(outs, saved, data, targets, order, at, scale, shift, *, size):
    (x, y, after), rows = outs, len(data)
    F, G = x.size // size, y.nbytes // WORD.itemsize // size
    words = targets.reshape(-1).view(WORD), y.reshape(-1).view(WORD)
    args = (data, words[0], order, at, scale, shift, x, words[1], after, rows, F, G, size, order.size)
    return made([SOURCE.kernel("gather", data.dtype, x.dtype).call(blocks(max(x.size, y.size)), (256,), args)])


def _guard(specs, attrs):
    data, targets, _, _, scale, _ = specs
    kinds = {np.dtype(code) for code in ("u1", "f4", "f8", "i4", "i8")}
    whole = targets.dtype.itemsize % WORD.itemsize == 0
    return data.dtype in kinds and scale.dtype in kinds and scale.dtype != np.uint8 and whole


OVERRIDES = {"gather": Override(_gather, guard=_guard)}
