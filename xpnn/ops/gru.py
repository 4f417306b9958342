"""GRU: a whole sequence in one op."""

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


def _infer(x, w, u, b, bn, h0, lengths=None, *, reverse):
    floating = {"x": x, "w": w, "u": u, "b": b, "bn": bn, "h0": h0}
    dtype = recurrent.need_shapes("gru", 3, floating, lengths)
    (N, T, _), H = x.shape, u.shape[0]
    y = Spec((N, T, H), dtype)
    return Outline((y, Spec((N, H), dtype)), (Spec((N, T, 3 * H), dtype), y))


def _split(gates):
    """(..., 3H) as r, z, n."""
    H = gates.shape[-1] // 3
    return tuple(gates[..., k * H : (k + 1) * H] for k in range(3))


def _forward(xp, x, w, u, b, bn, h0, lengths=None, *, reverse):
    T = x.shape[1]
    mask = inside(xp, lengths, T)
    x_part = without_padding(xp, mask, x) @ w + b
    h = h0
    steps: list[Any] = [None] * T
    for t in order(T, reverse):
        (r, z, n), (h_r, h_z, h_n) = _split(x_part[:, t, :]), _split(h @ u)
        r, z = SIGMOID(xp, r + h_r), SIGMOID(xp, z + h_z)
        m = h_n + bn
        n = xp.tanh(n + r * m)
        h = chosen(xp, at(mask, t), (1 - z) * n + z * h, h)
        steps[t] = h, xp.concat([r, z, n], axis=-1), m
    y, gates, ms = (xp.stack(list(column), axis=1) for column in zip(*steps, strict=True))
    return (without_padding(xp, mask, y), h), (gates, ms)


def _backward(xp, wanted, douts, kept, *, reverse):
    (x, w, u, _, _, h0), lengths = kept.inputs[:6], (*kept.inputs, None)[6]
    (y, _), (gates, ms), (dy, dh) = kept.outs, kept.saved, douts
    T = x.shape[1]
    mask = inside(xp, lengths, T)
    before = previous(xp, mask, y, h0, reverse)
    steps: list[Any] = [None] * T
    for t in reversed(order(T, reverse)):
        r, z, n = _split(gates[:, t, :])
        dh_t = dh + dy[:, t, :]
        dn = dh_t * (1 - z) * (1 - n * n)
        dr, dz = dn * ms[:, t, :] * r * (1 - r), dh_t * (before[:, t, :] - n) * z * (1 - z)
        # The candidate meets x directly and h through the reset gate.
        by_x = without_padding(xp, at(mask, t), xp.concat([dr, dz, dn], axis=-1))
        by_h = without_padding(xp, at(mask, t), xp.concat([dr, dz, dn * r], axis=-1))
        dh = chosen(xp, at(mask, t), dh_t * z + by_h @ u.T, dh)
        steps[t] = by_x, by_h
    by_x, by_h = (xp.stack(list(column), axis=1) for column in zip(*steps, strict=True))
    dx = by_x @ w.T if wanted[0] else None
    dw = flat(xp, without_padding(xp, mask, x)).T @ flat(xp, by_x) if wanted[1] else None
    du = flat(xp, before).T @ flat(xp, by_h) if wanted[2] else None
    db = xp.sum(flat(xp, by_x), axis=0) if wanted[3] else None
    dbn = xp.sum(flat(xp, _split(by_h)[2]), axis=0) if wanted[4] else None
    grads = (dx, dw, du, db, dbn, dh, None)
    return tuple(grad if want else None for grad, want in zip(grads, wanted, strict=False))


def _cost(x, w, u, b, bn, h0, lengths=None, *, reverse):
    return recurrent.cost(3, x, u.shape[0], w, u, b, bn, h0)


def _case(N, T, I, H, reverse=False, lengths=False):
    args = (
        Arg((N, T, I)),
        Arg((I, 3 * H), "weights"),
        Arg((H, 3 * H), "weights"),
        Arg((3 * H,)),
        Arg((H,)),
        Arg((N, H)),
    )
    return Case((*args, *([Arg((N,), "labels", high=T + 1)] if lengths else [])), {"reverse": reverse})


GRU = register(
    Op(
        name="gru",
        inputs=("x", "w", "u", "b", "bn", "h0", "lengths?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "w", "u", "h0", "lengths", "out"),
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


def gru(
    x: Any,
    w: Tensor,
    u: Tensor,
    b: Tensor,
    bn: Tensor,
    h0: Tensor | None = None,
    lengths: Any = None,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """The gated recurrent unit: (y, h), the output of every step and the state after the last.

        r = sigmoid(x_t w_r + h u_r + b_r)             reset gate
        z = sigmoid(x_t w_z + h u_z + b_z)             update gate
        n = tanh(x_t w_n + b_n + r (h u_n + bn))       candidate
        h' = (1 - z) n + z h                           y_t = h'

    x (N, T, I), w (I, 3H), u (H, 3H), b (3H,), each with the gates side by side in the order r, z, n; bn (H,); h0
    (N, H), None for zeros; y (N, T, H), h (N, H); all of one floating-point dtype, and all six have gradients.
    lengths and reverse: as in `lstm`.

    Cho et al., EMNLP 2014, eqs. 5-8, who reset the state before the product, n = tanh(x_t w_n + (r h) u_n): here, as in
    cuDNN and PyTorch, the product is reset, so that one product a step serves all three gates. Backward, with dn the
    gradient before the candidate's tanh: that of h u_n + bn is r dn, that of r is (h u_n + bn) dn. Raises ShapeError,
    DTypeError.
    """
    x, more = recurrent.given("gru", x, w, u.shape[0], {"h0": h0}, lengths)
    return apply(GRU, x, w, u, b, bn, *more, reverse=bool(reverse))
