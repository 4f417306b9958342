"""GRU on Numba."""

from __future__ import annotations

from xpnn.backends.numba import recurrent
from xpnn.backends.numba.matmul import product
from xpnn.backends.numba.recurrent import flat
from xpnn.core.contract import Override
from xpnn.core.op import Spec
from xpnn_kernels.numba import gru as kernels
from xpnn_kernels.numba.recurrent import pack, pack_back


def _saved(x, w, u, b, bn, h0, *more, reverse):
    N, T, _, H = recurrent.sizes(x, u)
    return recurrent.inputs_spec(x, u), Spec((T, N, 4 * H), x.dtype)


def _work(phase, x, w, u, b, bn, h0, *more, reverse):
    N, T, I, H = recurrent.sizes(x, u)
    lengths = recurrent.lengths_spec(x, more)
    if phase == "forward":
        return lengths, recurrent.packed_spec(x, u)
    dz = Spec((T, N, 4 * H), x.dtype)
    by_x, by_h = Spec((I + 1, 3 * H), x.dtype), Spec((1 + H, 3 * H), x.dtype)
    transposed = recurrent.transposed_spec(u), recurrent.transposed_spec(w)
    return lengths, *transposed, dz, h0, Spec((N, I), x.dtype), by_x, by_h


def _forward(outs, saved, x, w, u, b, bn, h0, *more, reverse, work):
    shape = recurrent.sizes(x, u)
    lengths, packed = recurrent.lengths_in(work[0], more), work[1]
    pack(*flat(w, b, u), packed, 3, shape)
    arrays = [*flat(x, h0, bn), lengths, reverse, packed, *flat(*outs, *saved)]
    recurrent.run(kernels.forward, arrays, shape, packed.size)


def _backward(dins, douts, kept, *, reverse, work):
    x, w, u, *_ = kept.inputs
    inputs, gates = kept.saved
    dx, dw, du, db, dbn, dh0 = dins[:6]
    room, u_t, w_t, dz, dh, dxs, by_x, by_h = work
    lengths = recurrent.lengths_in(room, kept.inputs[6:])
    N, T, I, H = shape = recurrent.sizes(x, u)
    pack_back(*flat(u), u_t, H, 3 * H, 2 * H, 3 * H, 0)
    pack_back(*flat(u), u_t, H, 3 * H, 0, 2 * H, H)
    if dx is None:
        dx = x[:0]
    else:
        pack_back(*flat(w), w_t, I, 3 * H, 0, 3 * H, 0)
    wanted = flat(dx, dh if dh0 is None else dh0)
    arrays = [lengths, reverse, *flat(inputs, gates, *douts), *wanted, u_t, w_t, *flat(dz, dh, dxs)]
    recurrent.run(kernels.backward, arrays, shape, u_t.size + (w_t.size if dx.size else 0))
    inputs, dz = inputs[:-1].reshape(N * T, -1), dz.reshape(N * T, 4 * H)
    if dw is not None or db is not None:
        product(inputs[:, : I + 1].T, dz[:, H:], by_x)
        for d, rows in ((dw, by_x[:I]), (db, by_x[I])):
            if d is not None:
                d[...] = rows
    if du is not None or dbn is not None:
        product(inputs[:, I:].T, dz[:, : 3 * H], by_h)
        if dbn is not None:
            dbn[...] = by_h[0, :H]
        if du is not None:
            du[:, 2 * H :] = by_h[1:, :H]
            du[:, : 2 * H] = by_h[1:, H:]


OVERRIDES = {"gru": Override(_forward, _backward, recurrent.guard, saved=_saved, work=_work)}
