"""The simple recurrent network: a whole sequence in one op."""

from __future__ import annotations

from typing import Any

from xpnn.core.op import Arg, Case, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor
from xpnn.errors import unknown
from xpnn.ops import recurrent
from xpnn.ops.activation import ACTIVATIONS
from xpnn.ops.recurrent import at, chosen, flat, inside, order, previous, without_padding

NONLINEARITIES = ("tanh", "relu")


def need_nonlinearity(name: str) -> None:
    """ConfigError unless it is one of the two."""
    if name not in NONLINEARITIES:
        raise unknown("rnn: activation", name, NONLINEARITIES)


def _infer(x, w, u, b, h0, lengths=None, *, reverse, activation):
    dtype = recurrent.need_shapes("rnn", 1, {"x": x, "w": w, "u": u, "b": b, "h0": h0}, lengths)
    need_nonlinearity(activation)
    (N, T, _), H = x.shape, u.shape[0]
    return Outline((Spec((N, T, H), dtype), Spec((N, H), dtype)))


def _forward(xp, x, w, u, b, h0, lengths=None, *, reverse, activation):
    T, f = x.shape[1], ACTIVATIONS[activation].value
    mask = inside(xp, lengths, T)
    x_part = without_padding(xp, mask, x) @ w + b
    h = h0
    steps: list[Any] = [None] * T
    for t in order(T, reverse):
        h = chosen(xp, at(mask, t), f(xp, x_part[:, t, :] + h @ u), h)
        steps[t] = h
    return (without_padding(xp, mask, xp.stack(steps, axis=1)), h), ()


def _backward(xp, wanted, douts, kept, *, reverse, activation):
    (x, w, u, _, h0), lengths = kept.inputs[:5], (*kept.inputs, None)[5]
    (y, _), (dy, dh) = kept.outs, douts
    T, slope = x.shape[1], ACTIVATIONS[activation].slope
    mask = inside(xp, lengths, T)
    steps: list[Any] = [None] * T
    for t in reversed(order(T, reverse)):
        dz = (dh + dy[:, t, :]) * slope(xp, None, y[:, t, :])
        dz = without_padding(xp, at(mask, t), dz)
        dh = chosen(xp, at(mask, t), dz @ u.T, dh)
        steps[t] = dz
    dz = xp.stack(steps, axis=1)
    dx = dz @ w.T if wanted[0] else None
    dw = flat(xp, without_padding(xp, mask, x)).T @ flat(xp, dz) if wanted[1] else None
    du = flat(xp, previous(xp, mask, y, h0, reverse)).T @ flat(xp, dz) if wanted[2] else None
    db = xp.sum(flat(xp, dz), axis=0) if wanted[3] else None
    grads = (dx, dw, du, db, dh, None)
    return tuple(grad if want else None for grad, want in zip(grads, wanted, strict=False))


def _cost(x, w, u, b, h0, lengths=None, *, reverse, activation):
    return recurrent.cost(1, x, u.shape[0], w, u, b, h0)


def _case(N, T, I, H, reverse=False, lengths=False, activation="tanh"):
    args = (Arg((N, T, I)), Arg((I, H), "weights"), Arg((H, H), "weights"), Arg((H,)), Arg((N, H)))
    attrs = {"reverse": reverse, "activation": activation}
    return Case((*args, *([Arg((N,), "labels", high=T + 1)] if lengths else [])), attrs)


RNN = register(
    Op(
        name="rnn",
        inputs=("x", "w", "u", "b", "h0", "lengths?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "w", "u", "h0", "lengths", "out"),
        products=True,
        cost=_cost,
        cases=(
            _case(3, 1, 4, 5),
            _case(3, 2, 4, 5, reverse=True, activation="relu"),
            _case(2, 7, 3, 4),
            _case(5, 7, 3, 4, lengths=True, activation="relu"),
            _case(5, 6, 2, 3, reverse=True, lengths=True),
            _case(1, 3, 1, 1, lengths=True),
            _case(37, 4, 9, 19, lengths=True),
            _case(5, 3, 33, 37, reverse=True),
            *rounded(_case(37, 4, 9, 19, lengths=True)),
        ),
        large=(_case(64, 28, 28, 128), _case(32, 100, 65, 256)),
    )
)


def rnn(
    x: Any,
    w: Tensor,
    u: Tensor,
    b: Tensor,
    h0: Tensor | None = None,
    lengths: Any = None,
    reverse: bool = False,
    activation: str = "tanh",
) -> tuple[Tensor, Tensor]:
    """The simple recurrent network: (y, h), the output of every step and the state after the last.

        h' = f(x_t w + h u + b)      y_t = h'

    x (N, T, I), w (I, H), u (H, H), b (H,), h0 (N, H), None for zeros; y (N, T, H), h (N, H); all of one floating-point
    dtype, and all five have gradients. activation: f, "tanh" or "relu". lengths and reverse: as in `lstm`.

    Elman, Cognitive Science 14 (1990). Backward, with dz = dh' f'(h'): dx_t = dz_t w^T, dh = dz u^T. Raises ShapeError,
    DTypeError, ConfigError.
    """
    x, more = recurrent.given("rnn", x, w, u.shape[0], {"h0": h0}, lengths)
    return apply(RNN, x, w, u, b, *more, reverse=bool(reverse), activation=activation)
