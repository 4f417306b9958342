"""The simple recurrent network on Numba."""

from __future__ import annotations

from xpnn.backends.numba import recurrent
from xpnn.backends.numba.recurrent import flat
from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import rnn as kernels
from xpnn_kernels.numba.recurrent import pack, pack_back


def _saved(x, w, u, b, h0, *more, reverse, activation):
    return (recurrent.inputs_spec(x, u),)


def _work(phase, x, w, u, b, h0, *more, reverse, activation):
    N, T, I, H = recurrent.sizes(x, u)
    lengths = recurrent.lengths_spec(x, more)
    if phase == "forward":
        return lengths, recurrent.packed_spec(x, u)
    transposed = recurrent.transposed_spec(u), recurrent.transposed_spec(w)
    return lengths, *transposed, Spec((T, N, H), x.dtype), h0, Spec((N, I), x.dtype), Spec((I + 1 + H, H), x.dtype)


def _forward(outs, saved, x, w, u, b, h0, *more, reverse, activation, work):
    shape = recurrent.sizes(x, u)
    lengths, packed = recurrent.lengths_in(work[0], more), work[1]
    pack(*flat(w, b, u), packed, 1, shape)
    arrays = [*flat(x, h0), lengths, reverse, packed, activation == "relu", *flat(*outs, *saved)]
    recurrent.run(kernels.forward, arrays, shape, packed.size)


def _backward(dins, douts, kept, *, reverse, activation, work):
    x, w, u, *_ = kept.inputs
    (inputs,) = kept.saved
    dx, dw, du, db, dh0 = dins[:5]
    room, u_t, w_t, dz, dh, dxs, dweights = work
    lengths = recurrent.lengths_in(room, kept.inputs[5:])
    _, _, I, H = shape = recurrent.sizes(x, u)
    pack_back(*flat(u), u_t, H, H, 0, H, 0)
    if dx is None:
        dx = x[:0]
    else:
        pack_back(*flat(w), w_t, I, H, 0, H, 0)
    given = [*flat(inputs), activation == "relu", *flat(*douts)]
    arrays = [lengths, reverse, *given, *flat(dx, dh if dh0 is None else dh0), u_t, w_t, *flat(dz, dh, dxs)]
    recurrent.run(kernels.backward, arrays, shape, u_t.size + (w_t.size if dx.size else 0))
    recurrent.weight_gradients(inputs, dz, dweights, I, dw, db, du)


OVERRIDES = {"rnn": Override(_forward, _backward, recurrent.guard, saved=_saved, work=_work)}
