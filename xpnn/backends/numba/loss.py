"""Pointwise losses on Numba: the arrays as rows (R, C), one sum a row.

R is 1 for "mean" and "sum", the number of samples for half_sum_of_squares with "none". The other losses leave "none" to
the reference: rows of one element are slower than NumPy's passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from xpnn.core.contract import Attrs, Override, floating, made
from xpnn.core.op import Spec
from xpnn.ops.loss import LOSSES, loss_scale
from xpnn_kernels.numba import loss as kernels

# name: the formula of the kernels, and the factor between that and the loss
_FORMULAS = {
    "mean_squared_error": ("squares", 1.0),
    "half_sum_of_squares": ("squares", 0.5),
    "binary_cross_entropy": ("logistic", 1.0),
    "perceptron": ("perceptron", 1.0),
    "l1": ("distance", 1.0),
    "huber": ("huber", 1.0),
}


def _bind(name: str) -> Override:
    formula, factor = _FORMULAS[name]
    code = kernels.CODES[formula]

    def guard(specs: Sequence[Spec], attrs: Attrs) -> bool:
        return floating(specs, attrs) and (attrs["reduction"] != "none" or LOSSES[name].per_sample)

    def forward(outs, saved, y, target, *, reduction, delta=0.0):
        out = outs[0].reshape(-1)
        rows = (out.size, -1)
        scale = factor * loss_scale(name, Spec(y.shape, y.dtype), reduction)
        return made([partial(kernels.forward, code, delta, y.reshape(rows), target.reshape(rows), scale, out)])

    def backward(dins, douts, kept, *, reduction, delta=0.0):
        y, target = kept.inputs
        dout = douts[0].reshape(-1)
        rows = (dout.size, -1)
        scale = factor * loss_scale(name, kept.specs[0], reduction)
        arrays = y.reshape(rows), target.reshape(rows), scale, dout, dins[0].reshape(rows)
        return made([partial(kernels.backward, code, delta, *arrays)])

    return Override(forward, backward, guard)


OVERRIDES = {name: _bind(name) for name in _FORMULAS}
