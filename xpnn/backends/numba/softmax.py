"""Softmax, log-softmax and cross-entropy on Numba."""

from __future__ import annotations

from functools import partial

from xpnn.core.contract import Override, made
from xpnn.core.op import Spec
from xpnn_kernels.numba import cache
from xpnn_kernels.numba import softmax as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 14
"""Elements above which rows are shared among threads."""


def _rows(array):
    return array if array.ndim == 2 else array.reshape(-1, array.shape[-1])


def _run(kernel, *arrays):
    """One kernel over all rows of the first array."""
    return made([partial(kernel, pool.threads(arrays[0].size, SPLIT), *arrays)])


def _softmax(outs, saved, x):
    return _run(kernels.softmax, _rows(x), _rows(outs[0]))


def _softmax_backward(dins, douts, kept):
    return _run(kernels.softmax_back, _rows(kept.outs[0]), _rows(douts[0]), _rows(dins[0]))


def _log_softmax(outs, saved, x):
    return _run(kernels.log_softmax, _rows(x), _rows(outs[0]))


def _log_softmax_backward(dins, douts, kept):
    arrays = _rows(kept.outs[0]), _rows(douts[0]), _rows(dins[0])
    return _run(kernels.log_softmax_back, *arrays)


def _samples(logits):
    return logits.size // logits.shape[-1]


def _scale(samples, reduction):
    return 1 / samples if reduction == "mean" else 1.0


def _saved(logits, target, *, label_smoothing, reduction):
    """exp(x - max x), and what makes each row of it probabilities."""
    return logits, Spec((_samples(logits),), logits.dtype)


def _work(phase, logits, target, *, label_smoothing, reduction):
    """The losses of the samples, where only their sum goes out."""
    return (Spec((_samples(logits),), logits.dtype),) if phase == "forward" and reduction != "none" else ()


def _cross_entropy(outs, saved, logits, target, *, label_smoothing, reduction, work):
    (e, factors), (N, rows) = saved, (_samples(logits), _rows(logits))
    losses = work[0] if work else outs[0].reshape(-1)
    total = _scale(N, reduction), outs[0].reshape(-1) if work else losses[:0]
    hard = target.dtype.kind != "f"
    kernel, target = (kernels.labels, target.reshape(-1)) if hard else (kernels.targets, _rows(target))
    calls = _run(kernel, rows, target, label_smoothing, losses, _rows(e), factors, *total)
    if work and pool.threads(rows.size, SPLIT) > 1:
        return [*calls, *made([partial(kernels.reduce, losses, *total)])]
    return calls


def _cross_entropy_backward(dins, douts, kept, *, label_smoothing, reduction, work):
    (e, factors), target, dloss = kept.saved, kept.inputs[1], douts[0].reshape(-1)
    scale, dx = _scale(factors.size, reduction), _rows(dins[0])
    if target.dtype.kind == "f":
        arrays = _rows(e), factors, _rows(target), label_smoothing, dloss, scale, dx
        return _run(kernels.targets_back, *arrays)
    arrays = _rows(e), factors, target.reshape(-1), label_smoothing, dloss, scale, dx
    touched = 3 * dx.nbytes  # logits, exponentials, gradient
    return _run(kernels.labels_back, *arrays, cache.past(dx, touched))


OVERRIDES = {
    "softmax": Override(_softmax, _softmax_backward),
    "log_softmax": Override(_log_softmax, _log_softmax_backward),
    "cross_entropy": Override(_cross_entropy, _cross_entropy_backward, saved=_saved, work=_work),
}
