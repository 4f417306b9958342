"""Pointwise losses on Numba: the arrays as rows (R, C), one sum a row.

R is 1 for "mean" and "sum", the number of samples for half_sum_of_squares with "none". The other losses leave "none" to
the reference: rows of one element are slower than NumPy's passes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xpnn.core.contract import Attrs, Override, floating
from xpnn.core.op import Spec
from xpnn.ops.loss import LOSSES, loss_scale
from xpnn_kernels.numba import loss as kernels

# name: the kernels, and the factor between what they compute and the loss
_KERNELS: dict[str, tuple[Callable, Callable, float]] = {
    "mean_squared_error": (kernels.squares, kernels.squares_backward, 1.0),
    "half_sum_of_squares": (kernels.squares, kernels.squares_backward, 0.5),
    "binary_cross_entropy": (kernels.logistic, kernels.logistic_backward, 1.0),
    "perceptron": (kernels.perceptron, kernels.perceptron_backward, 1.0),
    "l1": (kernels.distance, kernels.distance_backward, 1.0),
    "huber": (kernels.huber, kernels.huber_backward, 1.0),
}


def _bind(name: str) -> Override:
    forward_kernel, backward_kernel, factor = _KERNELS[name]

    def guard(specs: Sequence[Spec], attrs: Attrs) -> bool:
        return floating(specs, attrs) and (attrs["reduction"] != "none" or LOSSES[name].per_sample)

    def forward(outs, saved, y, target, *, reduction, **options):
        out = outs[0].reshape(-1)
        rows = (out.size, -1)
        scale = factor * loss_scale(name, Spec(y.shape, y.dtype), reduction)
        forward_kernel(y.reshape(rows), target.reshape(rows), *options.values(), scale, out)

    def backward(dins, douts, kept, *, reduction, **options):
        y, target = kept.inputs
        dout = douts[0].reshape(-1)
        rows = (dout.size, -1)
        scale = factor * loss_scale(name, kept.specs[0], reduction)
        backward_kernel(y.reshape(rows), target.reshape(rows), *options.values(), scale, dout, dins[0].reshape(rows))

    return Override(forward, backward, guard)


OVERRIDES = {name: _bind(name) for name in _KERNELS}
