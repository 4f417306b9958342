"""Reductions: sum, mean, largest, smallest, and where those are."""

from __future__ import annotations

from math import nan

import numpy as np

from xpnn.core.arithmetic import elementwise_cost, need_floating, need_whole
from xpnn.core.op import Arg, Array, Case, Namespace, Op, Outline, Spec, register
from xpnn.errors import ShapeError

Axes = tuple[int, ...]


def normalise_axes(name: str, axis: int | Axes | None, ndim: int) -> Axes:
    """Every axis as a number from 0 up; None means all of them. ShapeError when there is no such axis."""
    if axis is None:
        axes = tuple(range(ndim))
    else:
        axes = tuple(need_whole(name, a) for a in (axis if isinstance(axis, (tuple, list)) else (axis,)))
    for a in axes:
        if not -ndim <= a < ndim:
            raise ShapeError(f"{name}: expected axes from {-ndim} to {ndim - 1}; got {a}")
    found = tuple(sorted(a % ndim for a in axes))
    if len(set(found)) != len(found):
        raise ShapeError(f"{name}: expected distinct axes; got {axes}")
    return found


def normalise_axis(name: str, axis: int, ndim: int) -> int:
    """The same for the one axis of ops that want exactly one."""
    return normalise_axes(name, need_whole(name, axis), ndim)[0]


def _reduced_shape(shape: tuple[int, ...], axis: Axes, keepdims: bool) -> tuple[int, ...]:
    if keepdims:
        return tuple(1 if i in axis else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axis)


def _count(shape: tuple[int, ...], axis: Axes) -> int:
    return int(np.prod([shape[i] for i in axis], dtype=np.int64))


def _spread(xp: Namespace, y: Array, spec: Spec, axis: Axes) -> Array:
    """A reduced array back at the input's shape, each element repeated along the axes it came from."""
    return xp.broadcast_to(xp.reshape(y, _reduced_shape(spec.shape, axis, True)), spec.shape)


def _sum_dtype(dtype: np.dtype) -> np.dtype:
    """Whole numbers are added in 64 bits, as NumPy does: counting with `(y == t).sum()` must not end at True."""
    return np.dtype({"b": "int64", "i": "int64", "u": "uint64"}.get(dtype.kind, dtype))


def _sum(xp, x, axis, keepdims):
    if xp.isdtype(x.dtype, "bool"):
        x = xp.astype(x, xp.int64)
    return xp.sum(x, axis=axis, keepdims=keepdims)


def _sum_backward(xp, wanted, douts, kept, axis, keepdims):
    return (xp.asarray(_spread(xp, douts[0], kept.specs[0], axis), copy=True),)


def _mean_backward(xp, wanted, douts, kept, axis, keepdims):
    spec = kept.specs[0]
    return (_spread(xp, douts[0], spec, axis) / _count(spec.shape, axis),)


def _extremum_backward(xp, wanted, douts, kept, axis, keepdims):
    """Ties share the gradient equally, so that it does not depend on the order of the elements. NaN, which equals
    nothing, has no share and leaves none."""
    (x,), (y,), spec = kept.inputs, kept.outs, kept.specs[0]
    hit = xp.astype(x == _spread(xp, y, spec, axis), x.dtype)
    ties = xp.sum(hit, axis=axis, keepdims=True)
    ties = xp.where(ties > 0, ties, xp.full_like(ties, nan))
    return (_spread(xp, douts[0], spec, axis) * hit / ties,)


_CASES = (((3, 5), (0, 1), False), ((3, 5), (1,), True), ((2, 3, 4), (0, 2), False), ((6,), (0,), False))


def _reduction(name, function, backward, keeps=(), kind="normal"):
    def infer(x, axis, keepdims):
        if name == "mean":
            need_floating(name, x=x)
        if name in ("max", "min", "mean") and _count(x.shape, axis) == 0:
            raise ShapeError(f"{name}: expected at least one element to reduce; got {x.shape}")
        dtype = _sum_dtype(x.dtype) if name == "sum" else x.dtype
        return Outline((Spec(_reduced_shape(x.shape, axis, keepdims), dtype),))

    return register(
        Op(
            name=name,
            inputs=("x",),
            infer=infer,
            forward=lambda xp, x, axis, keepdims: ((function(xp, x, axis, keepdims),), ()),
            backward=backward,
            keeps=keeps,
            cost=elementwise_cost(1),
            cases=tuple(Case((Arg(shape, kind),), {"axis": a, "keepdims": k}) for shape, a, k in _CASES),
            large=tuple(Case((Arg((1024, 1024), kind),), {"axis": (a,), "keepdims": False}) for a in (0, 1)),
        )
    )


def _position(name, function):
    def infer(x, axis):
        if x.size == 0:
            raise ShapeError(f"{name}: expected at least one element; got {x.shape}")
        return Outline((Spec(_reduced_shape(x.shape, (axis,), False), np.dtype("int64")),))

    return register(
        Op(
            name=name,
            inputs=("x",),
            infer=infer,
            forward=lambda xp, x, axis: ((function(xp, x, axis),), ()),
            cost=elementwise_cost(1),
            cases=(Case((Arg((3, 5), "apart"),), {"axis": 1}), Case((Arg((3, 5), "apart"),), {"axis": 0})),
            large=(Case((Arg((1024, 1024), "apart"),), {"axis": 1}),),
        )
    )


OPS = {
    "sum": _reduction("sum", _sum, _sum_backward),
    "mean": _reduction("mean", lambda xp, x, axis, keep: xp.mean(x, axis=axis, keepdims=keep), _mean_backward),
    "max": _reduction(
        "max",
        lambda xp, x, axis, keep: xp.max(x, axis=axis, keepdims=keep),
        _extremum_backward,
        ("x", "out"),
        "apart",
    ),
    "min": _reduction(
        "min",
        lambda xp, x, axis, keep: xp.min(x, axis=axis, keepdims=keep),
        _extremum_backward,
        ("x", "out"),
        "apart",
    ),
    "argmax": _position("argmax", lambda xp, x, axis: xp.argmax(x, axis=axis)),
    "argmin": _position("argmin", lambda xp, x, axis: xp.argmin(x, axis=axis)),
}
