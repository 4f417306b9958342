"""Softmax, log-softmax and cross-entropy on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import softmax as kernels


def _rows(array):
    return array.reshape(-1, array.shape[-1])


def _rowwise(forward_kernel, backward_kernel):
    def forward(outs, saved, x):
        forward_kernel(_rows(x), _rows(outs[0]))

    def backward(dins, douts, kept):
        backward_kernel(_rows(kept.outs[0]), _rows(douts[0]), _rows(dins[0]))

    return forward, backward


_softmax, _softmax_backward = _rowwise(kernels.softmax, kernels.softmax_backward)
_log_softmax, _log_softmax_backward = _rowwise(kernels.log_softmax, kernels.log_softmax_backward)


def _losses(phase, logits, target, *, label_smoothing, reduction):
    """A number for each row: its loss, or the gradient of that."""
    return (Spec((logits.size // logits.shape[-1],), logits.dtype),)


def _cross_entropy(outs, saved, logits, target, *, label_smoothing, reduction, work):
    losses = outs[0].reshape(-1) if reduction == "none" else work[0]
    if target.dtype.kind == "f":
        kernels.cross_entropy_targets(_rows(logits), _rows(target), label_smoothing, losses, _rows(saved[0]))
    else:
        kernels.cross_entropy_labels(_rows(logits), target.reshape(-1), label_smoothing, losses, _rows(saved[0]))
    if reduction != "none":
        (np.mean if reduction == "mean" else np.sum)(losses, out=outs[0])


def _cross_entropy_backward(dins, douts, kept, *, label_smoothing, reduction, work):
    (p,), target, dloss = kept.saved, kept.inputs[1], work[0]
    if reduction == "mean":
        np.divide(douts[0], dloss.size, out=dloss)
    else:
        np.copyto(dloss, douts[0].reshape(-1) if reduction == "none" else douts[0])
    if target.dtype.kind == "f":
        kernels.cross_entropy_targets_backward(_rows(p), _rows(target), label_smoothing, dloss, _rows(dins[0]))
    else:
        kernels.cross_entropy_labels_backward(_rows(p), target.reshape(-1), label_smoothing, dloss, _rows(dins[0]))


OVERRIDES = {
    "softmax": Override(_softmax, _softmax_backward),
    "log_softmax": Override(_log_softmax, _log_softmax_backward),
    "cross_entropy": Override(_cross_entropy, _cross_entropy_backward, work=_losses),
}
