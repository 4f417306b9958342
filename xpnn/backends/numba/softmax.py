"""Softmax, log-softmax and cross-entropy on Numba."""

from __future__ import annotations

import numpy as np

from xpnn.core.contract import Override, floating
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


def _cross_entropy(outs, saved, logits, target, *, label_smoothing, reduction):
    losses = outs[0].reshape(-1) if reduction == "none" else np.empty(logits.size // logits.shape[-1], logits.dtype)
    if target.dtype.kind == "f":
        kernels.cross_entropy_targets(_rows(logits), _rows(target), label_smoothing, losses, _rows(saved[0]))
    else:
        kernels.cross_entropy_labels(_rows(logits), target.reshape(-1), label_smoothing, losses, _rows(saved[0]))
    if reduction != "none":
        outs[0][...] = losses.mean() if reduction == "mean" else losses.sum()


def _cross_entropy_backward(dins, douts, kept, *, label_smoothing, reduction):
    (p,), target = kept.saved, kept.inputs[1]
    samples = p.size // p.shape[-1]
    if reduction == "none":
        dloss = douts[0].reshape(-1)
    else:
        dloss = np.full(samples, douts[0] / samples if reduction == "mean" else douts[0], p.dtype)
    if target.dtype.kind == "f":
        kernels.cross_entropy_targets_backward(_rows(p), _rows(target), label_smoothing, dloss, _rows(dins[0]))
    else:
        kernels.cross_entropy_labels_backward(_rows(p), target.reshape(-1), label_smoothing, dloss, _rows(dins[0]))


OVERRIDES = {
    ("softmax", "forward"): Override(_softmax, floating),
    ("softmax", "backward"): Override(_softmax_backward, floating),
    ("log_softmax", "forward"): Override(_log_softmax, floating),
    ("log_softmax", "backward"): Override(_log_softmax_backward, floating),
    ("cross_entropy", "forward"): Override(_cross_entropy, floating),
    ("cross_entropy", "backward"): Override(_cross_entropy_backward, floating),
}
