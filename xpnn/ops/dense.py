"""Dense: matrix product, bias and activation as one op."""

from __future__ import annotations

from math import prod
from typing import Any

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.precision import rounded
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor
from xpnn.errors import ShapeError
from xpnn.ops import activation as activations
from xpnn.ops.activation import ACTIVATIONS, need_activation


def _infer(x, w, b=None, *, activation):
    dtype = need_floating("dense", x=x, w=w, **({} if b is None else {"b": b}))
    if len(w.shape) != 2:
        raise ShapeError(f"dense: expected w (I, O); got {w.shape}")
    I, O = w.shape
    if not x.shape or x.shape[-1] != I:
        fix = " Flatten first." if len(x.shape) > 2 and Spec(x.shape[1:], dtype).size == I else ""
        raise ShapeError(f"dense: expected x (N, {I}); got {x.shape}.{fix}")
    if b is not None and b.shape != (O,):
        raise ShapeError(f"dense: expected b ({O},) to fit w {w.shape}; got {b.shape}")
    need_activation(activation)
    out = Spec((*x.shape[:-1], O), dtype)
    # Some derivatives cannot be had from the output; then the sum before the activation is saved.
    needs_z = activation is not None and ACTIVATIONS[activation].reads == "x"
    return Outline((out,), (out,) if needs_z else ())


def _forward(xp, x, w, b=None, *, activation):
    z = x @ w if b is None else x @ w + b
    if activation is None:
        return (z,), ()
    f = ACTIVATIONS[activation]
    return (f.value(xp, z),), (z,) if f.reads == "x" else ()


def _backward(xp, wanted, douts, kept, *, activation):
    (x, w), (y,), (dy,) = kept.inputs[:2], kept.outs, douts
    dz = dy
    if activation is not None:
        f = ACTIVATIONS[activation]
        dz = dy * f.slope(xp, kept.saved[0] if f.reads == "x" else None, y)
    I, O = w.shape
    N = prod(x.shape[:-1])
    dz_no, x_ni = xp.reshape(dz, (N, O)), xp.reshape(x, (N, I))
    dx = xp.reshape(dz_no @ w.T, x.shape) if wanted[0] else None
    dw = x_ni.T @ dz_no if wanted[1] else None
    db = xp.sum(dz_no, axis=0) if wanted[-1] else None
    return (dx, dw, db)[: len(wanted)]


def _cost(x, w, b=None, *, activation):
    out = _infer(x, w, b, activation=activation).outs[0]
    return Cost(2 * out.size * w.shape[0], x.nbytes + w.nbytes + out.nbytes)


DENSE = register(
    Op(
        name="dense",
        inputs=("x", "w", "b?"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("x", "w", "out"),
        products=True,
        cost=_cost,
        cases=(
            *(Case((Arg((4, 7)), Arg((7, 5)), Arg((5,))), {"activation": name}) for name in (None, *ACTIVATIONS)),
            Case((Arg((4, 7)), Arg((7, 5))), {"activation": None}),
            Case((Arg((4, 7)), Arg((7, 5))), {"activation": "tanh"}),
            Case((Arg((2, 3, 7)), Arg((7, 5)), Arg((5,))), {"activation": "gelu"}),
            Case((Arg((64, 96)), Arg((96, 33)), Arg((33,))), {"activation": "sigmoid"}),
            *rounded(
                Case((Arg((4, 7)), Arg((7, 5))), {"activation": "tanh"}),
                Case((Arg((64, 96)), Arg((96, 33)), Arg((33,))), {"activation": "sigmoid"}),
            ),
        ),
        large=(
            Case((Arg((64, 784)), Arg((784, 300)), Arg((300,))), {"activation": "relu"}),
            Case((Arg((256, 1024)), Arg((1024, 1024)), Arg((1024,))), {"activation": "relu"}),
        ),
    )
)


def dense(x: Any, w: Tensor, b: Tensor | None = None, activation: str | None = None) -> Tensor:
    """y = f(x w + b).

    x (..., I), w (I, O), b (O,), y (..., O); all of one floating-point dtype. activation: None, "step" or a name in
    `xpnn.ops.activation.ACTIVATIONS`. Backward, with dz = dy f'(z): dx = dz w^T, dw = x^T dz, db = sum of dz over
    the batch (Rumelhart, Hinton and Williams, Nature 323, 1986). Raises ShapeError, DTypeError, ConfigError.
    """
    inputs = (as_tensor(x, w), w) if b is None else (as_tensor(x, w), w, b)
    if activation == "step":  # it has no gradient, so it is not fused
        return activations.step(apply(DENSE, *inputs, activation=None))
    return apply(DENSE, *inputs, activation=activation)
