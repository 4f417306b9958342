"""GRU on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy import recurrent
from xpnn.backends.cupy.recurrent import some
from xpnn.core.contract import Override, made
from xpnn.core.op import Spec


def _saved(x, w, u, b, bn, h0, *more, reverse, precision="fast"):
    """Gates, the candidate's part by h, and the lengths."""
    N, T, _, H = recurrent.sizes(x, u)
    return Spec((N, T, 3 * H), x.dtype), Spec((N, T, H), x.dtype), recurrent.inside_spec(x, more)


def _work(phase, x, w, u, b, bn, h0, *more, reverse, precision="fast"):
    """What steps hand on; the gradients before the gates by x and by h, of the state directly, and parts of those of
    the weights."""
    N, T, _, H = recurrent.sizes(x, u)
    handed = recurrent.handed_spec(phase, x, u, precision)
    if phase == "forward":
        return (handed,)
    dz = Spec((N, T, 3 * H), x.dtype)
    return handed, dz, dz, h0, recurrent.parts_spec(x, u, True)


def _layer(u, h0, y, saved, handed, reverse, precision):
    gates, by_h, inside = saved
    return recurrent.Layer("Gru", u, h0, None, some(inside), y, gates, by_h, some(handed), reverse, precision)


def _forward(outs, saved, x, w, u, b, bn, h0, *more, reverse, precision="fast", work):
    y, h = outs
    layer = _layer(u, h0, y, saved, work[0], reverse, precision)
    return made(recurrent.forward(layer, x, w, b, bn, h, None, more))


def _backward(dins, douts, kept, *, reverse, precision="fast", work):
    x, w, u, _, _, h0, *_ = kept.inputs
    dx, dw, du, db, dbn, dh0, *_ = dins
    handed, *arrays, parts = work
    layer = _layer(u, h0, kept.outs[0], kept.saved, handed, reverse, precision)
    grads = dx, dw, du, db, dbn, dh0, None
    return made(recurrent.backward(layer, x, w, (*douts, None), grads, (*arrays, some(parts))))


OVERRIDES = {"gru": Override(_forward, _backward, recurrent.guard, saved=_saved, work=_work, precision=True)}
