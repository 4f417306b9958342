"""Softmax and cross-entropy, one row (one sample) at a time: three passes over a row that stays in L1.

A row is read from memory once and its result written once (8 bytes an element in float32); bound by exp.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba.exp import exp
from xpnn_kernels.numba.jit import kernel


@kernel
def _exponentials(x, e):
    """e = exp(x - max x) for a row (C,); returns (max x, sum of e). A NaN anywhere makes the sum NaN."""
    top = x[0]
    for c in range(1, x.size):
        top = x[c] if x[c] > top else top
    total = x.dtype.type(0)
    for c in range(x.size):
        e[c] = exp(x[c] - top)
        total += e[c]
    return top, total


@kernel
def _scale(row, factor):
    """row *= factor, as a loop: an assignment to a slice compiles the text of its error too, 1.5 s."""
    f = row.dtype.type(factor)
    for c in range(row.size):
        row[c] *= f


@kernel
def softmax(x, y):
    """y = exp(x) / sum exp(x) for each row of (N, C)."""
    for n in range(x.shape[0]):
        _, total = _exponentials(x[n], y[n])
        _scale(y[n], 1 / total)


@kernel
def softmax_backward(y, dy, dx):
    """dx = y (dy - sum of y dy) for each row of (N, C)."""
    for n in range(y.shape[0]):
        inner = y.dtype.type(0)
        for c in range(y.shape[1]):
            inner += y[n, c] * dy[n, c]
        for c in range(y.shape[1]):
            dx[n, c] = y[n, c] * (dy[n, c] - inner)


@kernel
def log_softmax(x, y):
    """y = x - log sum exp(x) for each row of (N, C)."""
    for n in range(x.shape[0]):
        top, total = _exponentials(x[n], y[n])
        log_total = x.dtype.type(math.log(total))
        for c in range(x.shape[1]):
            y[n, c] = (x[n, c] - top) - log_total


@kernel
def log_softmax_backward(y, dy, dx):
    """dx = dy - exp(y) sum of dy for each row of (N, C)."""
    for n in range(y.shape[0]):
        inner = y.dtype.type(0)
        for c in range(y.shape[1]):
            inner += dy[n, c]
        for c in range(y.shape[1]):
            dx[n, c] = dy[n, c] - exp(y[n, c]) * inner


@kernel
def cross_entropy_labels(logits, labels, smoothing, loss, p):
    """loss[n] = -sum q log p and p = softmax(logits), rows of (N, C); q is 1 - s at the label plus s / C everywhere."""
    C = logits.shape[1]
    s = logits.dtype.type(smoothing)
    for n in range(logits.shape[0]):
        top, total = _exponentials(logits[n], p[n])
        log_total = logits.dtype.type(math.log(total))
        label = labels[n]
        if label < 0 or label >= C:
            loss[n] = math.nan
            _scale(p[n], math.nan)
            continue
        value = (log_total - (logits[n, label] - top)) * (1 - s)
        if s != 0:
            mean = logits.dtype.type(0)
            for c in range(C):
                mean += log_total - (logits[n, c] - top)
            value += mean * (s / C)
        loss[n] = value
        _scale(p[n], 1 / total)


@kernel
def cross_entropy_labels_backward(p, labels, smoothing, dloss, dlogits):
    """dlogits = (p - q) dloss[n], rows of (N, C)."""
    C = p.shape[1]
    s = p.dtype.type(smoothing)
    for n in range(p.shape[0]):
        scale = dloss[n]
        low = s / C
        for c in range(C):
            dlogits[n, c] = (p[n, c] - low) * scale
        if labels[n] >= 0 and labels[n] < C:
            dlogits[n, labels[n]] -= (1 - s) * scale


@kernel
def cross_entropy_targets(logits, target, smoothing, loss, p):
    """The same with a distribution (N, C) as target; it need not sum to one."""
    C = logits.shape[1]
    s = logits.dtype.type(smoothing)
    for n in range(logits.shape[0]):
        top, total = _exponentials(logits[n], p[n])
        log_total = logits.dtype.type(math.log(total))
        value = logits.dtype.type(0)
        for c in range(C):
            q = target[n, c] * (1 - s) + s / C
            value += q * (log_total - (logits[n, c] - top)) if q != 0 else q  # a masked class may have a logit of -inf
        loss[n] = value
        _scale(p[n], 1 / total)


@kernel
def cross_entropy_targets_backward(p, target, smoothing, dloss, dlogits):
    """dlogits = (p sum q - q) dloss[n], rows of (N, C)."""
    C = p.shape[1]
    s = p.dtype.type(smoothing)
    for n in range(p.shape[0]):
        weight = p.dtype.type(0)
        for c in range(C):
            weight += target[n, c] * (1 - s) + s / C
        for c in range(C):
            dlogits[n, c] = (p[n, c] * weight - (target[n, c] * (1 - s) + s / C)) * dloss[n]
