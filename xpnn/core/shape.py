"""Ops that move elements and compute nothing: reshape, transpose, index, take, concat, stack, astype."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn.core.op import Arg, Array, Case, Cost, Namespace, Op, Outline, Spec, register
from xpnn.errors import DTypeError, ShapeError


def _move_cost(*specs: Spec, **_: object) -> Cost:
    return Cost(0, 2 * sum(spec.nbytes for spec in specs))


# reshape ------------------------------------------------------------------------------------------------------


def resolve_shape(shape: tuple[int, ...], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The target shape with its one -1 filled in; ShapeError when the element counts differ."""
    size = int(np.prod(shape, dtype=np.int64))
    known = int(np.prod([n for n in wanted if n != -1], dtype=np.int64))
    if wanted.count(-1) == 1 and known and size % known == 0:
        return tuple(size // known if n == -1 else n for n in wanted)
    if -1 in wanted or known != size or any(n < 0 for n in wanted):
        raise ShapeError(f"reshape: expected {size} elements like x {shape}; got the shape {wanted}")
    return wanted


RESHAPE = register(
    Op(
        name="reshape",
        inputs=("x",),
        infer=lambda x, shape: Outline((Spec(resolve_shape(x.shape, shape), x.dtype),)),
        forward=lambda xp, x, shape: ((xp.reshape(x, shape),), ()),
        backward=lambda xp, wanted, douts, kept, shape: (xp.reshape(douts[0], kept.specs[0].shape),),
        cost=lambda x, shape: Cost(0, 0),
        cases=(Case((Arg((3, 4)),), {"shape": (2, 6)}), Case((Arg((2, 3, 4)),), {"shape": (2, 12)})),
        large=(Case((Arg((64, 12, 12, 64)),), {"shape": (64, 9216)}),),
        view=True,
    )
)

# transpose ----------------------------------------------------------------------------------------------------


def _transpose_infer(x, axes):
    if sorted(axes) != list(range(len(x.shape))):
        raise ShapeError(f"transpose: expected a permutation of the {len(x.shape)} axes of x {x.shape}; got {axes}")
    return Outline((Spec(tuple(x.shape[a] for a in axes), x.dtype),))


TRANSPOSE = register(
    Op(
        name="transpose",
        inputs=("x",),
        infer=_transpose_infer,
        forward=lambda xp, x, axes: ((xp.permute_dims(x, axes),), ()),
        backward=lambda xp, wanted, douts, kept, axes: (
            xp.permute_dims(douts[0], tuple(axes.index(i) for i in range(len(axes)))),
        ),
        cost=_move_cost,
        cases=(Case((Arg((3, 4)),), {"axes": (1, 0)}), Case((Arg((2, 3, 4)),), {"axes": (2, 0, 1)})),
        large=(Case((Arg((64, 128, 128)),), {"axes": (1, 0, 2)}),),
        view=True,
    )
)

# index: integers, slices, `...` and None ------------------------------------------------------------------------

Key = tuple[Any, ...]


def freeze_key(key: Any) -> Key:
    """A basic index as a hashable tuple: slices become ("slice", start, stop, step)."""
    entries: list[Any] = []
    for entry in key if isinstance(key, tuple) else (key,):
        if isinstance(entry, slice):
            entries.append(("slice", entry.start, entry.stop, entry.step))
        elif entry is None or entry is Ellipsis:
            entries.append(entry)
        elif isinstance(entry, (int, np.integer)) and not isinstance(entry, bool):
            entries.append(int(entry))
        else:
            raise DTypeError(
                f"index: expected integers, slices, ... or None; got {type(entry).__name__}. "
                "Use .take(indices, axis) for an array of indices"
            )
    return tuple(entries)


def thaw(key: Key) -> Any:
    """The index that was frozen."""
    return tuple([slice(*entry[1:]) if isinstance(entry, tuple) else entry for entry in key])


def _index_infer(x, key):
    try:
        # A broadcast scalar has the right shape and no memory: NumPy itself says what the index gives.
        return Outline((Spec(np.broadcast_to(np.empty((), x.dtype), x.shape)[thaw(key)].shape, x.dtype),))
    except (IndexError, ValueError) as error:
        raise ShapeError(f"index: {error}; x is {x.shape}") from None
    except TypeError as error:
        raise DTypeError(f"index: {error}") from None


def _index_backward(xp, wanted, douts, kept, key):
    dx = xp.zeros(kept.specs[0].shape, dtype=douts[0].dtype)
    # The standard allows None in a read only; the gradient drops those axes instead.
    dx[tuple(entry for entry in thaw(key) if entry is not None)] = xp.reshape(
        douts[0], _index_infer(kept.specs[0], tuple(e for e in key if e is not None)).outs[0].shape
    )
    return (dx,)


INDEX = register(
    Op(
        name="index",
        inputs=("x",),
        infer=_index_infer,
        forward=lambda xp, x, key: ((xp.asarray(x[thaw(key)]),), ()),
        backward=_index_backward,
        cost=_move_cost,
        cases=(
            Case((Arg((4, 5)),), {"key": (("slice", 1, 3, None), 2)}),
            Case((Arg((4, 5)),), {"key": (Ellipsis, ("slice", None, None, 2))}),
            Case((Arg((4, 5)),), {"key": (1, None, ("slice", 4, 0, -2))}),
        ),
        large=(Case((Arg((64, 128, 128)),), {"key": (("slice", None, None, None), -1)}),),
        view=True,
    )
)

# take: an array of indices along one axis ------------------------------------------------------------------------


def need_inside(indices: np.ndarray, length: int) -> None:
    """ShapeError unless every index names one of so many rows, from the front or (below 0) from the back."""
    if indices.size and indices.dtype.kind in "iu" and not -length <= indices.min() <= indices.max() < length:
        raise ShapeError(
            f"take: expected indices from {-length} to {length - 1}; got {indices.min()} to {indices.max()}"
        )


def _take_infer(x, indices, axis):
    if indices.dtype.kind not in "iu" or len(indices.shape) != 1:
        raise DTypeError(f"take: expected indices (K,) of an integer dtype; got {indices}")
    return Outline((Spec((*x.shape[:axis], indices.shape[0], *x.shape[axis + 1 :]), x.dtype),))


def sum_rows(xp: Namespace, dy: Array, rows: Array, count: int) -> Array:
    """The gradient of so many rows of which dy (P, E) were taken, by their numbers (P,): each has the sum over its
    places. Sorted by number they are neighbours, summed in pairs, fours, eights, ..."""
    P, E = dy.shape
    if P == 0:
        return xp.zeros((count, E), dtype=dy.dtype)
    order = xp.argsort(rows, stable=True)
    rows, sums = xp.take(rows, order), xp.take(dy, order, axis=0)
    step = 1
    while step < P:  # sums[p] is that of up to `step` places with the number of p, from p on
        same = (rows[:-step] == rows[step:])[:, None]
        more = xp.where(same, sums[step:, :], xp.zeros_like(sums[step:, :]))
        sums = xp.concat([sums[:-step, :] + more, sums[-step:, :]])
        step *= 2
    wanted = xp.arange(count, dtype=xp.int64)
    first = xp.minimum(xp.searchsorted(rows, wanted), xp.full_like(wanted, P - 1))
    drows = xp.take(sums, first, axis=0)
    return xp.where((xp.take(rows, first) == wanted)[:, None], drows, xp.zeros_like(drows))


def _take_backward(xp, wanted, douts, kept, axis):
    indices, length = xp.astype(kept.inputs[1], xp.int64), kept.specs[0].shape[axis]
    indices = xp.where(indices < 0, indices + length, indices)
    dy = xp.moveaxis(douts[0], axis, 0)
    dx = sum_rows(xp, xp.reshape(dy, (dy.shape[0], prod(dy.shape[1:]))), indices, length)
    return xp.moveaxis(xp.reshape(dx, (length, *dy.shape[1:])), 0, axis), None


TAKE = register(
    Op(
        name="take",
        inputs=("x", "indices"),
        infer=_take_infer,
        forward=lambda xp, x, indices, axis: ((xp.take(x, indices, axis=axis),), ()),
        backward=_take_backward,
        keeps=("indices",),
        cost=_move_cost,
        cases=(
            Case((Arg((4, 5)), Arg((6,), "labels", high=4)), {"axis": 0}),
            Case((Arg((2, 4, 3)), Arg((3,), "labels", high=4)), {"axis": 1}),
        ),
        large=(Case((Arg((8192, 128)), Arg((4096,), "labels", high=8192)), {"axis": 0}),),
    )
)

# concat and stack -------------------------------------------------------------------------------------------------


def _concat_infer(*xs, axis):
    first = xs[0]
    for i, x in enumerate(xs):
        rest = [(*s.shape[:axis], *s.shape[axis + 1 :]) for s in (x, first)]
        if len(x.shape) != len(first.shape) or rest[0] != rest[1] or x.dtype != first.dtype:
            raise ShapeError(f"concat: expected xs[{i}] like xs[0] {first} except along axis {axis}; got {x}")
    length = sum(x.shape[axis] for x in xs)
    return Outline((Spec((*first.shape[:axis], length, *first.shape[axis + 1 :]), first.dtype),))


def _concat_backward(xp, wanted, douts, kept, axis):
    grads, start = [], 0
    for want, spec in zip(wanted, kept.specs, strict=True):
        stop = start + spec.shape[axis]
        key = (slice(None),) * axis + (slice(start, stop), Ellipsis)
        grads.append(douts[0][key] if want else None)
        start = stop
    return tuple(grads)


CONCAT = register(
    Op(
        name="concat",
        inputs=("*xs",),
        infer=_concat_infer,
        forward=lambda xp, *xs, axis: ((xp.concat(xs, axis=axis),), ()),
        backward=_concat_backward,
        cost=_move_cost,
        cases=(
            Case((Arg((2, 3)), Arg((2, 4)), Arg((2, 1))), {"axis": 1}),
            Case((Arg((2, 3)), Arg((1, 3))), {"axis": 0}),
        ),
        large=(Case((Arg((1024, 512)), Arg((1024, 512))), {"axis": 1}),),
    )
)

# astype -----------------------------------------------------------------------------------------------------------

ASTYPE = register(
    Op(
        name="astype",
        inputs=("x",),
        infer=lambda x, dtype: Outline((Spec(x.shape, np.dtype(dtype)),)),
        forward=lambda xp, x, dtype: ((xp.astype(x, getattr(xp, dtype)),), ()),
        backward=lambda xp, wanted, douts, kept, dtype: (xp.astype(douts[0], getattr(xp, kept.specs[0].dtype.name)),),
        cost=_move_cost,
        cases=(Case((Arg((3, 4)),), {"dtype": "float64"}), Case((Arg((3, 4)),), {"dtype": "float32"})),
        large=(Case((Arg((1024, 1024)),), {"dtype": "float64"}),),
    )
)
