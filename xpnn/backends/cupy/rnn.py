"""The simple recurrent network on CUDA."""

from __future__ import annotations

from xpnn.backends.cupy import recurrent
from xpnn.backends.cupy.recurrent import some
from xpnn.core.contract import Override, made
from xpnn.core.op import Spec


def _saved(x, w, u, b, h0, *more, reverse, activation, precision="fast"):
    """The lengths: for the rest the output is enough."""
    return (recurrent.inside_spec(x, more),)


def _work(phase, x, w, u, b, h0, *more, reverse, activation, precision="fast"):
    """What steps hand on; the gradient before the activation, and parts of those of the weights."""
    N, T, _, H = recurrent.sizes(x, u)
    handed = recurrent.handed_spec(phase, x, u, precision)
    if phase == "forward":
        return (handed,)
    return handed, Spec((N, T, H), x.dtype), recurrent.parts_spec(x, u, False)


def _layer(u, h0, y, saved, handed, reverse, activation, precision):
    cell, inside = f"Rnn<{activation.upper()}>", some(saved[0])
    return recurrent.Layer(cell, u, h0, None, inside, y, y, None, some(handed), reverse, precision)


def _forward(outs, saved, x, w, u, b, h0, *more, reverse, activation, precision="fast", work):
    y, h = outs
    layer = _layer(u, h0, y, saved, work[0], reverse, activation, precision)
    return made(recurrent.forward(layer, x, w, b, None, h, None, more))


def _backward(dins, douts, kept, *, reverse, activation, precision="fast", work):
    x, w, u, _, h0, *_ = kept.inputs
    dx, dw, du, db, dh0, *_ = dins
    handed, dz, parts = work
    layer = _layer(u, h0, kept.outs[0], kept.saved, handed, reverse, activation, precision)
    grads = dx, dw, du, db, None, dh0, None
    return made(recurrent.backward(layer, x, w, (*douts, None), grads, (dz, dz, None, some(parts))))


OVERRIDES = {"rnn": Override(_forward, _backward, recurrent.guard, saved=_saved, work=_work, precision=True)}
