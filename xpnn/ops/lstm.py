"""LSTM: a whole sequence in one op."""

from __future__ import annotations

from typing import Any

from xpnn.core.op import Arg, Case, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor
from xpnn.ops import recurrent
from xpnn.ops.activation import ACTIVATIONS
from xpnn.ops.recurrent import at, chosen, flat, inside, order, previous, without_padding

SIGMOID = ACTIVATIONS["sigmoid"].value


def _infer(x, w, u, b, h0, c0, lengths=None, *, reverse):
    floating = {"x": x, "w": w, "u": u, "b": b, "h0": h0, "c0": c0}
    dtype = recurrent.need_shapes("lstm", 4, floating, lengths)
    (N, T, _), H = x.shape, u.shape[0]
    y, state = Spec((N, T, H), dtype), Spec((N, H), dtype)
    return Outline((y, state, state), (Spec((N, T, 4 * H), dtype), y))


def _split(gates):
    """(..., 4H) as i, f, g, o."""
    H = gates.shape[-1] // 4
    return tuple(gates[..., k * H : (k + 1) * H] for k in range(4))


def _forward(xp, x, w, u, b, h0, c0, lengths=None, *, reverse):
    T = x.shape[1]
    mask = inside(xp, lengths, T)
    x_part = without_padding(xp, mask, x) @ w + b
    h, c = h0, c0
    steps: list[Any] = [None] * T
    for t in order(T, reverse):
        i, f, g, o = _split(x_part[:, t, :] + h @ u)
        i, f, g, o = SIGMOID(xp, i), SIGMOID(xp, f), xp.tanh(g), SIGMOID(xp, o)
        c_new = f * c + i * g
        h_new = o * xp.tanh(c_new)
        h, c = chosen(xp, at(mask, t), h_new, h), chosen(xp, at(mask, t), c_new, c)
        steps[t] = h, c, xp.concat([i, f, g, o], axis=-1)
    y, cells, gates = (xp.stack(list(column), axis=1) for column in zip(*steps, strict=True))
    return (without_padding(xp, mask, y), h, c), (gates, cells)


def _backward(xp, wanted, douts, kept, *, reverse):
    (x, w, u, _, h0, c0), lengths = kept.inputs[:6], (*kept.inputs, None)[6]
    (y, *_), (gates, cells), (dy, dh, dc) = kept.outs, kept.saved, douts
    T = x.shape[1]
    mask = inside(xp, lengths, T)
    before = previous(xp, mask, cells, c0, reverse)
    steps: list[Any] = [None] * T
    for t in reversed(order(T, reverse)):
        i, f, g, o = _split(gates[:, t, :])
        tanh_c = xp.tanh(cells[:, t, :])
        dh_t = dh + dy[:, t, :]
        dc_t = dc + dh_t * o * (1 - tanh_c * tanh_c)
        di, df = dc_t * g * i * (1 - i), dc_t * before[:, t, :] * f * (1 - f)
        dg, do = dc_t * i * (1 - g * g), dh_t * tanh_c * o * (1 - o)
        dz = without_padding(xp, at(mask, t), xp.concat([di, df, dg, do], axis=-1))
        dh, dc = chosen(xp, at(mask, t), dz @ u.T, dh), chosen(xp, at(mask, t), dc_t * f, dc)
        steps[t] = dz
    dz = xp.stack(steps, axis=1)
    dx = dz @ w.T if wanted[0] else None
    dw = flat(xp, without_padding(xp, mask, x)).T @ flat(xp, dz) if wanted[1] else None
    du = flat(xp, previous(xp, mask, y, h0, reverse)).T @ flat(xp, dz) if wanted[2] else None
    db = xp.sum(flat(xp, dz), axis=0) if wanted[3] else None
    grads = (dx, dw, du, db, dh, dc, None)
    return tuple(grad if want else None for grad, want in zip(grads, wanted, strict=False))


def _cost(x, w, u, b, h0, c0, lengths=None, *, reverse):
    return recurrent.cost(4, x, u.shape[0], w, u, b, h0, c0)


def _case(N, T, I, H, reverse=False, lengths=False):
    args = (
        Arg((N, T, I)),
        Arg((I, 4 * H), "weights"),
        Arg((H, 4 * H), "weights"),
        Arg((4 * H,)),
        Arg((N, H)),
        Arg((N, H)),
    )
    return Case((*args, *([Arg((N,), "labels", high=T + 1)] if lengths else [])), {"reverse": reverse})


LSTM = register(
    Op(
        name="lstm",
        inputs=("x", "w", "u", "b", "h0", "c0", "lengths?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "w", "u", "h0", "c0", "lengths", "out"),
        products=True,
        cost=_cost,
        cases=(
            _case(3, 1, 4, 5),
            _case(3, 2, 4, 5, reverse=True),
            _case(2, 7, 3, 4),
            _case(5, 7, 3, 4, lengths=True),
            _case(5, 6, 2, 3, reverse=True, lengths=True),
            _case(1, 3, 1, 1, lengths=True),
            _case(37, 4, 9, 19, lengths=True),
            _case(5, 3, 33, 37, reverse=True),
            *rounded(_case(37, 4, 9, 19, lengths=True)),
        ),
        large=(_case(64, 28, 28, 128), _case(32, 100, 65, 256)),
    )
)


def lstm(
    x: Any,
    w: Tensor,
    u: Tensor,
    b: Tensor,
    h0: Tensor | None = None,
    c0: Tensor | None = None,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """The long short-term memory: (y, h, c), the output of every step and the state after the last.

        i = sigmoid(x_t w_i + h u_i + b_i)      input gate         c' = f c + i g
        f = sigmoid(x_t w_f + h u_f + b_f)      forget gate        h' = o tanh(c')
        g = tanh(x_t w_g + h u_g + b_g)         candidate          y_t = h'
        o = sigmoid(x_t w_o + h u_o + b_o)      output gate

    x (N, T, I), w (I, 4H), u (H, 4H), b (4H,), each with the gates side by side in the order i, f, g, o; h0 and c0
    (N, H), None for zeros; y (N, T, H), h and c (N, H); all of one floating-point dtype, and all six have gradients.
    lengths: integers (N,) from 0 to T. Beyond a sequence's length y is 0, and x is not looked at; h and c are those
    after its last step (the initial ones at length 0). reverse: from the last step of each sequence to the first.

    Hochreiter and Schmidhuber, Neural Computation 9 (1997), with the forget gate of Gers, Schmidhuber and Cummins,
    Neural Computation 12 (2000), eqs. 2.1-2.8. Backward, with dz the gradient before the gates: dx_t = dz_t w^T,
    dh = dz u^T, dc = dc' f. Raises ShapeError, DTypeError.
    """
    x, more = recurrent.given("lstm", x, w, u.shape[0], {"h0": h0, "c0": c0}, lengths)
    return apply(LSTM, x, w, u, b, *more, reverse=bool(reverse))
