"""Pointwise losses on CUDA: one kernel for all, by code."""

from __future__ import annotations

import numpy as np

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, made
from xpnn.core.op import Spec
from xpnn.ops.loss import LOSSES, loss_scale

SOURCE = Source("loss", dict.fromkeys(("sums", "total", "values", "back"), (REAL,)))
# name: the code in loss.cu, and the factor between what it computes and the loss
CODES = {
    "mean_squared_error": (0, 1.0),
    "half_sum_of_squares": (0, 0.5),
    "binary_cross_entropy": (1, 1.0),
    "perceptron": (2, 1.0),
    "l1": (3, 1.0),
    "huber": (4, 1.0),
}
PART = 1 << 12
"""Elements that one block adds up at the least."""


def _parts(name, y, reduction):
    """Blocks that share a sum: over all elements, or one each for the sums of the samples."""
    return 1 if reduction == "none" else blocks(y.size, PART)[0]


def _bind(name: str) -> Override:
    code, factor = CODES[name]

    def work(phase, y, target, *, reduction, **options):
        parts = _parts(name, y, reduction)
        return (Spec((parts,), np.dtype(np.float64)),) if phase == "forward" and parts > 1 else ()

    def forward(outs, saved, y, target, *, reduction, work, **options):
        scale = factor * loss_scale(name, Spec(y.shape, y.dtype), reduction)
        out, parts = outs[0], _parts(name, y, reduction)
        given = (code, options.get("delta", 0.0), y, target)
        if reduction == "none" and not LOSSES[name].per_sample:
            kernel = SOURCE.kernel("values", y.dtype)
            return made([kernel.call(blocks(y.size), (256,), (*given, scale, out, y.size))])
        sums = work[0] if work else None
        args = (*given, y.size // out.size, scale, sums, out)
        calls = [SOURCE.kernel("sums", y.dtype).call((out.size, parts), (256,), args)]
        if parts > 1:
            calls.append(SOURCE.kernel("total", y.dtype).call((1,), (256,), (sums, parts, scale, out)))
        return made(calls)

    def backward(dins, douts, kept, *, reduction, work, **options):
        (y, target), dout = kept.inputs, douts[0]
        scale = factor * loss_scale(name, kept.specs[0], reduction)
        given = (code, options.get("delta", 0.0), y, target)
        args = (*given, scale, dout, y.size // dout.size, dins[0], y.size)
        return made([SOURCE.kernel("back", y.dtype).call(blocks(y.size), (256,), args)])

    return Override(forward, backward, work=work)


OVERRIDES = {name: _bind(name) for name in CODES}
