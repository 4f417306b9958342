"""LSTM on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy import recurrent
from xpnn.backends.cupy.recurrent import some
from xpnn.core.contract import Override, made
from xpnn.core.op import Spec


def _saved(x, w, u, b, h0, c0, *more, reverse, precision="fast"):
    """Gates, the cell after each step, and the lengths."""
    N, T, _, H = recurrent.sizes(x, u)
    return Spec((N, T, 4 * H), x.dtype), Spec((N, T, H), x.dtype), recurrent.inside_spec(x, more)


def _work(phase, x, w, u, b, h0, c0, *more, reverse, precision="fast"):
    """What steps hand on; the gradient before the gates and of the cell, and parts of those of the weights."""
    N, T, _, H = recurrent.sizes(x, u)
    handed = recurrent.handed_spec(phase, x, u, precision)
    if phase == "forward":
        return (handed,)
    return handed, Spec((N, T, 4 * H), x.dtype), c0, recurrent.parts_spec(x, u, False)


def _layer(u, h0, c0, y, saved, handed, reverse, precision):
    gates, cells, inside = saved
    return recurrent.Layer("Lstm", u, h0, c0, some(inside), y, gates, cells, some(handed), reverse, precision)


def _forward(outs, saved, x, w, u, b, h0, c0, *more, reverse, precision="fast", work):
    y, h, c = outs
    layer = _layer(u, h0, c0, y, saved, work[0], reverse, precision)
    return made(recurrent.forward(layer, x, w, b, None, h, c, more))


def _backward(dins, douts, kept, *, reverse, precision="fast", work):
    x, w, u, _, h0, c0, *_ = kept.inputs
    dx, dw, du, db, dh0, dc0, *_ = dins
    handed, dz, carry, parts = work
    layer = _layer(u, h0, c0, kept.outs[0], kept.saved, handed, reverse, precision)
    grads = dx, dw, du, db, None, dh0, dc0
    return made(recurrent.backward(layer, x, w, douts, grads, (dz, dz, carry, some(parts))))


OVERRIDES = {"lstm": Override(_forward, _backward, recurrent.guard, saved=_saved, work=_work, precision=True)}
