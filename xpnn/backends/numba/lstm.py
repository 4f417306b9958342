"""LSTM on Numba."""

from __future__ import annotations

from xpnn.backends.numba import recurrent
from xpnn.backends.numba.recurrent import flat
from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import lstm as kernels
from xpnn_kernels.numba.recurrent import pack, pack_back


def _saved(x, w, u, b, h0, c0, *more, reverse):
    N, T, _, H = recurrent.sizes(x, u)
    return recurrent.inputs_spec(x, u), Spec((T, N, 4 * H), x.dtype), Spec((T + 1, N, H), x.dtype)


def _work(phase, x, w, u, b, h0, c0, *more, reverse):
    N, T, I, H = recurrent.sizes(x, u)
    lengths = recurrent.lengths_spec(x, more)
    if phase == "forward":
        return lengths, recurrent.packed_spec(x, u)
    dz, dweights = Spec((T, N, 4 * H), x.dtype), Spec((I + 1 + H, 4 * H), x.dtype)
    transposed = recurrent.transposed_spec(u), recurrent.transposed_spec(w)
    return lengths, *transposed, dz, h0, c0, Spec((N, I), x.dtype), dweights


def _forward(outs, saved, x, w, u, b, h0, c0, *more, reverse, work):
    shape = recurrent.sizes(x, u)
    lengths, packed = recurrent.lengths_in(work[0], more), work[1]
    pack(*flat(w, b, u), packed, 4, shape)
    arrays = [*flat(x, h0, c0), lengths, reverse, packed, *flat(*outs, *saved)]
    recurrent.run(kernels.forward, arrays, shape, packed.size)


def _backward(dins, douts, kept, *, reverse, work):
    x, w, u, *_ = kept.inputs
    inputs, gates, cells = kept.saved
    dx, dw, du, db, dh0, dc0 = dins[:6]
    room, u_t, w_t, dz, dh, dc, dxs, dweights = work
    lengths = recurrent.lengths_in(room, kept.inputs[6:])
    _, _, I, H = shape = recurrent.sizes(x, u)
    pack_back(*flat(u), u_t, H, 4 * H, 0, 4 * H, 0)
    if dx is None:
        dx = x[:0]
    else:
        pack_back(*flat(w), w_t, I, 4 * H, 0, 4 * H, 0)
    given = flat(gates, cells, *douts)
    wanted = flat(dx, dh if dh0 is None else dh0, dc if dc0 is None else dc0)
    arrays = [lengths, reverse, *given, *wanted, u_t, w_t, *flat(dz, dh, dc, dxs)]
    recurrent.run(kernels.backward, arrays, shape, u_t.size + (w_t.size if dx.size else 0))
    recurrent.weight_gradients(inputs, dz, dweights, I, dw, db, du)


OVERRIDES = {"lstm": Override(_forward, _backward, recurrent.guard, saved=_saved, work=_work)}
