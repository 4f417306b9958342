"""Embedding: rows of a table named by whole numbers; and one-hot rows."""

from __future__ import annotations

from math import nan, prod
from typing import Any

import numpy as np

from xpnn.core.arithmetic import need_dtype, need_floating
from xpnn.core.op import Arg, Array, Case, Cost, Namespace, Op, Outline, Spec, register
from xpnn.core.shape import sum_rows
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import DTypeError, ShapeError
from xpnn.ops.window import need_size


def _need_ids(name: str, ids: Spec) -> None:
    if ids.dtype.kind not in "iu":
        raise DTypeError(f"{name}: expected integer ids; got {ids.dtype}. Convert with .astype('int64')")


def _infer(table, ids):
    need_floating("embedding", table=table)
    if len(table.shape) != 2 or table.shape[0] == 0:
        raise ShapeError(f"embedding: expected table (V, E) with at least one row; got {table.shape}")
    _need_ids("embedding", ids)
    return Outline((Spec((*ids.shape, table.shape[1]), table.dtype),))


def _forward(xp, table, ids):
    V, E = table.shape
    flat = xp.reshape(xp.astype(ids, xp.int64), (-1,))  # a small dtype may not count up to V
    known = (flat >= 0) & (flat < V)
    rows = xp.take(table, xp.where(known, flat, xp.zeros_like(flat)), axis=0)
    rows = xp.where(known[:, None], rows, xp.full_like(rows, nan))
    return (xp.reshape(rows, (*ids.shape, E)),), ()


def _backward(xp, wanted, douts, kept):
    (dy,), ids, (V, E) = douts, kept.inputs[1], kept.specs[0].shape
    P = prod(ids.shape)
    return sum_rows(xp, xp.reshape(dy, (P, E)), xp.reshape(xp.astype(ids, xp.int64), (P,)), V), None


def _cost(table, ids):
    out = _infer(table, ids).outs[0]
    return Cost(out.size, 2 * out.nbytes + ids.nbytes)


EMBEDDING = register(
    Op(
        name="embedding",
        inputs=("table", "ids"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        keeps=("ids",),
        cost=_cost,
        cases=(
            Case((Arg((7, 5)), Arg((4,), "labels", high=7))),
            Case((Arg((3, 40)), Arg((5, 6), "labels", high=3))),  # ids that come often
            Case((Arg((6, 1)), Arg((), "labels", high=6))),
            Case((Arg((90, 70)), Arg((4, 100), "labels", high=80))),  # enough for threads; rows without a place
        ),
        large=(Case((Arg((10_000, 128)), Arg((64, 128), "labels", high=10_000))),),
    )
)


def one_hot_rows(xp: Namespace, ids: Array, classes: int, dtype: Any) -> Array:
    """1 at the class that the id names, 0 elsewhere (..., C); a row of NaN for an id outside 0..C-1."""
    ids = xp.astype(ids, xp.int64)  # a small dtype may not count up to C
    rows = xp.astype(ids[..., None] == xp.arange(classes, dtype=xp.int64), dtype)
    known = (ids >= 0) & (ids < classes)
    return xp.where(known[..., None], rows, xp.full_like(rows, nan))


def _one_hot_infer(ids, classes, dtype):
    _need_ids("one_hot", ids)
    return Outline((Spec((*ids.shape, classes), np.dtype(dtype)),))


ONE_HOT = register(
    Op(
        name="one_hot",
        inputs=("ids",),
        infer=_one_hot_infer,
        forward=lambda xp, ids, classes, dtype: ((one_hot_rows(xp, ids, classes, getattr(xp, dtype)),), ()),
        cost=lambda ids, classes, dtype: Cost(0, ids.nbytes + ids.size * classes * np.dtype(dtype).itemsize),
        cases=(
            Case((Arg((4,), "labels", high=3),), {"classes": 3, "dtype": "float32"}),
            Case((Arg((2, 5), "labels", high=300),), {"classes": 301, "dtype": "float64"}),
            Case((Arg((), "labels", high=2),), {"classes": 2, "dtype": "float32"}),
        ),
        large=(Case((Arg((4096,), "labels", high=100),), {"classes": 100, "dtype": "float32"}),),
    )
)


def _need_known(name: str, ids: Tensor, count: int) -> None:
    """On a host, where looking costs nothing, ShapeError for ids out of range; elsewhere NaN tells."""
    if ids.backend.on_host and ids.dtype.kind in "iu" and ids.data.size:
        low, high = ids.data.min(), ids.data.max()
        if low < 0 or high >= count:
            raise ShapeError(f"{name}: expected ids from 0 to {count - 1}; got {low} to {high}")


def embedding(table: Tensor, ids: Any) -> Tensor:
    """y[..., e] = table[ids[...], e].

    table (V, E), float32 or float64; ids (...), integers from 0 to V - 1; y (..., E). Backward: row v of dtable is the
    sum of dy over the places of v, always in one order, so that the same run gives the same bits. Ids out of range
    raise ShapeError on the host; on a device, and in a replayed step, their rows are NaN. Raises DTypeError. Bengio,
    Ducharme, Vincent and Jauvin, JMLR 3 (2003), section 2.
    """
    table = table if isinstance(table, Tensor) else tensor(table)
    ids = as_tensor(ids, table)
    y = apply(EMBEDDING, table, ids)
    _need_known("embedding", ids, table.shape[0])
    return y


def one_hot(ids: Any, classes: int, dtype: Any = "float32") -> Tensor:
    """y[..., c] = 1 where ids[...] = c, 0 elsewhere: ids (...), integers from 0 to classes - 1; y (..., classes).

    dtype: float32 or float64. Ids out of range as in `embedding`. Raises DTypeError, ConfigError, ShapeError.
    """
    ids = ids if isinstance(ids, Tensor) else tensor(ids)
    wanted = need_dtype("one_hot", dtype)
    if wanted.kind != "f":
        raise DTypeError(f"one_hot: expected float32 or float64; got {wanted}")
    classes = need_size("one_hot", "classes", classes)
    y = apply(ONE_HOT, ids, classes=classes, dtype=wanted.name)
    _need_known("one_hot", ids, classes)
    return y
