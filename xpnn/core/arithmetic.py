"""Elementwise arithmetic: one table of functions and their derivatives, one record each.

A binary op broadcasts as NumPy does; its gradient is summed back to each input's shape.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan, prod
from operator import index
from typing import Any

import numpy as np

from xpnn.core.op import Arg, Array, Case, Cost, Namespace, Op, Outline, Spec, register
from xpnn.errors import DTypeError, ShapeError

# y = f(x) and dy/dx, from whichever of x and y is the cheaper.
UNARY: dict[str, tuple[Callable, Callable, str]] = {
    "negative": (lambda xp, x: -x, lambda xp, x, y: -xp.ones_like(x), "normal"),
    "abs": (lambda xp, x: xp.abs(x), lambda xp, x, y: xp.sign(x), "apart"),
    "exp": (lambda xp, x: xp.exp(x), lambda xp, x, y: y, "normal"),
    "log": (lambda xp, x: xp.log(x), lambda xp, x, y: 1 / x, "positive"),
    "sqrt": (lambda xp, x: xp.sqrt(x), lambda xp, x, y: 0.5 / y, "positive"),
    "square": (lambda xp, x: x * x, lambda xp, x, y: 2 * x, "normal"),
    "sin": (lambda xp, x: xp.sin(x), lambda xp, x, y: xp.cos(x), "normal"),
    "cos": (lambda xp, x: xp.cos(x), lambda xp, x, y: -xp.sin(x), "normal"),
    "sign": (lambda xp, x: xp.sign(x), lambda xp, x, y: xp.zeros_like(x), "apart"),
}

# z = f(x, y) and its derivatives by x and by y. Where maximum and minimum meet a tie, each side has half.
BINARY: dict[str, tuple[Callable, Callable, Callable, str]] = {
    "add": (lambda xp, x, y: x + y, lambda xp, x, y, dz: dz, lambda xp, x, y, dz: dz, "normal"),
    "subtract": (lambda xp, x, y: x - y, lambda xp, x, y, dz: dz, lambda xp, x, y, dz: -dz, "normal"),
    "multiply": (lambda xp, x, y: x * y, lambda xp, x, y, dz: dz * y, lambda xp, x, y, dz: dz * x, "normal"),
    "divide": (
        lambda xp, x, y: x / y,
        lambda xp, x, y, dz: dz / y,
        lambda xp, x, y, dz: -dz * x / (y * y),
        "positive",
    ),
    "power": (
        lambda xp, x, y: x**y,
        # y x^(y-1), without 0^-1 where y is 0; and log(0) must not reach the other one.
        lambda xp, x, y, dz: dz * y * xp.where(y == 0, xp.ones_like(x), x) ** (y - 1),
        lambda xp, x, y, dz: dz * xp.where(x == 0, xp.zeros_like(dz), x**y * xp.log(xp.where(x == 0, x + 1, x))),
        "positive",
    ),
    "maximum": (
        lambda xp, x, y: xp.maximum(x, y),
        lambda xp, x, y, dz: dz * _first_share(xp, x, y),
        lambda xp, x, y, dz: dz * _first_share(xp, y, x),
        "apart",
    ),
    "minimum": (
        lambda xp, x, y: xp.minimum(x, y),
        lambda xp, x, y, dz: dz * _first_share(xp, y, x),
        lambda xp, x, y, dz: dz * _first_share(xp, x, y),
        "apart",
    ),
}

COMPARE: dict[str, Callable] = {
    "equal": lambda xp, x, y: x == y,
    "not_equal": lambda xp, x, y: x != y,
    "less": lambda xp, x, y: x < y,
    "less_equal": lambda xp, x, y: x <= y,
    "greater": lambda xp, x, y: x > y,
    "greater_equal": lambda xp, x, y: x >= y,
}


def _first_share(xp: Namespace, x: Array, y: Array) -> Array:
    """1 where x > y, 1/2 where equal, 0 elsewhere; NaN where either is, as in forward."""
    share = xp.astype(x > y, x.dtype) + xp.astype(x == y, x.dtype) / 2
    return xp.where((x >= y) | (x < y), share, xp.full_like(share, nan))


def unbroadcast(xp: Namespace, grad: Array, shape: tuple[int, ...]) -> Array:
    """Sum a gradient over the axes along which an input of this shape was repeated."""
    if grad.shape == shape:
        return grad
    lead = grad.ndim - len(shape)
    repeated = tuple(i for i, n in enumerate(shape, lead) if n == 1 and grad.shape[i] != 1)
    return xp.reshape(xp.sum(grad, axis=(*range(lead), *repeated)), shape)


def broadcast_shape(name: str, *shapes: tuple[int, ...]) -> tuple[int, ...]:
    """The shape that NumPy's rule gives, or a ShapeError that names them all."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ShapeError(f"{name}: expected shapes that broadcast; got {listed}") from None


def need_floating(name: str, **specs: Spec) -> np.dtype:
    """The one floating-point dtype of all these inputs, or a DTypeError."""
    dtypes = {label: spec.dtype for label, spec in specs.items()}
    first = next(iter(dtypes.values()))
    if first.kind != "f" or any(dtype != first for dtype in dtypes.values()):
        got = ", ".join(f"{label} {dtype}" for label, dtype in dtypes.items())
        raise DTypeError(f"{name}: expected one floating-point dtype; got {got}. Convert with .astype()")
    return first


def need_dtype(name: str, dtype: Any) -> np.dtype:
    """The dtype of this name, or a DTypeError when it is none for numbers."""
    try:
        found = None if dtype is None else np.dtype(dtype)
    except TypeError:
        found = None
    if found is None or found.kind not in "fiub":
        raise DTypeError(f"{name}: expected a dtype such as 'float32', 'int64' or 'bool'; got {dtype!r}")
    return found


def need_whole(name: str, value: Any) -> int:
    """A length or an axis as an int, or a DTypeError."""
    try:
        return index(value)
    except TypeError:
        raise DTypeError(f"{name}: expected whole numbers; got {value!r}") from None


def need_numbers(name: str, x: Spec) -> None:
    """DTypeError for bool: what would True + True be?"""
    if x.dtype.kind == "b":
        raise DTypeError(f"{name}: expected numbers; got bool. Convert with .astype('float32') or .astype('int64')")


def _need_same(name: str, x: Spec, y: Spec) -> None:
    if x.dtype != y.dtype:
        raise DTypeError(f"{name}: expected one dtype; got {x.dtype} and {y.dtype}. Convert one with .astype()")


def elementwise_cost(per_element: float) -> Callable[..., Cost]:
    """The cost of a pass that reads its inputs, writes one output and computes so much for each element."""

    def cost(*specs: Spec, **_: object) -> Cost:
        size = prod(np.broadcast_shapes(*[spec.shape for spec in specs]))
        return Cost(per_element * size, sum(spec.nbytes for spec in specs) + size * specs[-1].dtype.itemsize)

    return cost


def _unary(name: str, function: Callable, derivative: Callable, kind: str) -> Op:
    def infer(x):
        need_numbers(name, x)
        if name not in ("negative", "abs", "square", "sign"):
            need_floating(name, x=x)
        return Outline((x,))

    return register(
        Op(
            name=name,
            inputs=("x",),
            infer=infer,
            forward=lambda xp, x: ((function(xp, x),), ()),
            backward=lambda xp, wanted, douts, kept: (douts[0] * derivative(xp, kept.inputs[0], kept.outs[0]),),
            keeps=("x", "out"),
            updates=("x",),
            cost=elementwise_cost(1),
            cases=(Case((Arg((3, 5), kind),)), Case((Arg((), kind),))),
            large=(Case((Arg((1024, 1024), kind),)),),
        )
    )


def _binary(name: str, function: Callable, by_x: Callable, by_y: Callable, kind: str) -> Op:
    def infer(x, y):
        _need_same(name, x, y)
        need_numbers(name, x)
        if name in ("divide", "power"):
            need_floating(name, x=x, y=y)
        return Outline((Spec(broadcast_shape(name, x.shape, y.shape), x.dtype),))

    def backward(xp, wanted, douts, kept):
        x, y = kept.inputs
        return tuple(
            unbroadcast(xp, by(xp, x, y, douts[0]), spec.shape) if want else None
            for want, by, spec in zip(wanted, (by_x, by_y), kept.specs, strict=True)
        )

    pairs = (((3, 5), (3, 5)), ((3, 5), (5,)), ((3, 1), (1, 5)), ((3, 5), ()), ((2, 3, 1), (3, 4)))
    return register(
        Op(
            name=name,
            inputs=("x", "y"),
            infer=infer,
            forward=lambda xp, x, y: ((function(xp, x, y),), ()),
            backward=backward,
            keeps=() if name in ("add", "subtract") else ("x", "y"),
            passes={"add": ("x", "y"), "subtract": ("x",)}.get(name, ()),
            updates=("x",),
            cost=elementwise_cost(1),
            cases=tuple(Case((Arg(a, kind), Arg(b, kind))) for a, b in pairs),
            large=tuple(Case((Arg((1024, 1024), kind), Arg(b, kind))) for b in ((1024, 1024), (1024,))),
        )
    )


def _comparison(name: str, function: Callable) -> Op:
    def infer(x, y):
        _need_same(name, x, y)
        return Outline((Spec(broadcast_shape(name, x.shape, y.shape), np.dtype(bool)),))

    return register(
        Op(
            name=name,
            inputs=("x", "y"),
            infer=infer,
            forward=lambda xp, x, y: ((function(xp, x, y),), ()),
            cost=elementwise_cost(1),
            cases=(Case((Arg((3, 5), "few"), Arg((5,), "few"))),),
            large=(Case((Arg((1024, 1024), "few"), Arg((1024, 1024), "few"))),),
        )
    )


OPS = {
    **{name: _unary(name, *row) for name, row in UNARY.items()},
    **{name: _binary(name, *row) for name, row in BINARY.items()},
    **{name: _comparison(name, row) for name, row in COMPARE.items()},
}
