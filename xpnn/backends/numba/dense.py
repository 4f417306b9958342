"""Dense on Numba: one product and one kernel for bias and activation."""

from __future__ import annotations

from functools import partial

from xpnn.backends.numba.activation import parameter
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec
from xpnn_kernels.numba import dense as kernels
from xpnn_kernels.numba import gemm
from xpnn_kernels.numba.activation import CODES


def _forward(outs, saved, x, w, b=None, *, activation, work):
    I, O = w.shape
    y = outs[0].reshape(-1, O)
    z = saved[0].reshape(-1, O) if saved else y
    calls = [gemm.call(x.reshape(-1, I), w, z)]
    if b is not None or activation is not None:
        bias = w[:0, 0] if b is None else b
        code = CODES[activation], parameter(activation, {})
        calls.append(partial(kernels.bias_activation, *code, z, bias, y, bool(saved)))
    return made(calls)


def _matrices(specs, attrs):
    return floating(specs, attrs) and min(specs[1].shape) > 0  # no features: the reference


def _work(phase, x, w, b=None, *, activation):
    """dz, the gradient before the activation, and nothing where that is dy."""
    rows = x.size // max(w.shape[0], 1)
    return (Spec((rows, w.shape[1]), x.dtype),) if phase == "backward" and activation is not None else ()


def _backward(dins, douts, kept, *, activation, work):
    x, w = kept.inputs[:2]
    I, O = w.shape
    dx, dw, db = (*dins, None)[:3]
    dy = douts[0].reshape(-1, O)
    dz = work[0] if work else dy
    calls = []
    if activation is not None or db is not None:
        source = (kept.saved or kept.outs)[0].reshape(-1, O)
        sums = w[:0, 0] if db is None else db
        code = CODES[activation], parameter(activation, {})
        calls.append(partial(kernels.bias_activation_backward, *code, source, dy, dz, sums))
    if dx is not None:
        calls.append(gemm.call(dz, w.T, dx.reshape(-1, I)))
    if dw is not None:
        calls.append(gemm.call(x.reshape(-1, I).T, dz, dw))
    return made(calls)


OVERRIDES = {"dense": Override(_forward, _backward, _matrices, work=_work, lean=True)}
