"""What the recurrent ops have in common: shapes, sequences of unequal length, and the gradients of the weights.

A sequence of length L is steps 0..L-1 of x; what lies beyond is padding. Its mask is `inside`: (N, T, 1), or None where
every sequence is T long. No padding is ever multiplied, so that not even a NaN there reaches a state or a gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Array, Cost, Namespace, Spec
from xpnn.core.tensor import Tensor, as_tensor
from xpnn.errors import DTypeError, ShapeError


def need_shapes(name: str, gates: int, specs: dict[str, Spec], lengths: Spec | None) -> np.dtype:
    """The dtype of it all, or an error. specs: x, w, u, b and whatever else must be (H,) or (N, H), by name."""
    dtype = need_floating(name, **specs)
    x, w, u = specs["x"].shape, specs["w"].shape, specs["u"].shape
    if len(x) != 3 or x[1] == 0:
        raise ShapeError(f"{name}: expected x (N, T, I) with T >= 1; got {x}")
    wide = f"{gates}H" if gates > 1 else "H"
    if len(u) != 2 or u[0] == 0 or u[1] != gates * u[0]:
        raise ShapeError(f"{name}: expected u (H, {wide}) with H >= 1; got {u}")
    N, H = x[0], u[0]
    if len(w) != 2 or w[1] != gates * H:
        raise ShapeError(f"{name}: expected w (I, {gates * H}) to fit u {u}; got {w}")
    if x[2] != w[0]:
        raise ShapeError(f"{name}: expected x (N, T, {w[0]}) to fit w {w}; got {x}")
    expected = {"b": (gates * H,), "bn": (H,), "h0": (N, H), "c0": (N, H)}
    for label, spec in specs.items():
        if spec.shape != expected.get(label, spec.shape):
            raise ShapeError(f"{name}: expected {label} {expected[label]} to fit x {x} and u {u}; got {spec.shape}")
    if lengths is not None and lengths.dtype.kind not in "iu":
        raise DTypeError(f"{name}: expected lengths of an integer dtype; got {lengths.dtype}")
    if lengths is not None and lengths.shape != (N,):
        raise ShapeError(f"{name}: expected lengths ({N},), one a sequence; got {lengths.shape}")
    return dtype


def cost(gates: int, x: Spec, H: int, *others: Spec) -> Cost:
    """Two products for every step, and some thirty operations for every unit."""
    N, T, I = x.shape
    out = N * T * H
    return Cost(out * (2 * gates * (I + H) + 30), x.nbytes + sum(s.nbytes for s in others) + out * x.dtype.itemsize)


def inside(xp: Namespace, lengths: Array | None, T: int) -> Array | None:
    """(N, T, 1): does step t belong to sequence n? Lengths below 0 count as 0, those beyond T as T."""
    if lengths is None:
        return None
    return (xp.arange(T, dtype=xp.int64)[None, :] < xp.astype(lengths, xp.int64)[:, None])[:, :, None]


def chosen(xp: Namespace, mask: Array | None, new: Array, old: Array) -> Array:
    """`new` inside the sequences, `old` in the padding."""
    return new if mask is None else xp.where(mask, new, old)


def without_padding(xp: Namespace, mask: Array | None, x: Array) -> Array:
    """x, and 0 in the padding."""
    return x if mask is None else xp.where(mask, x, xp.zeros_like(x))


def at(mask: Array | None, t: int) -> Array | None:
    """The mask of one step, (N, 1)."""
    return None if mask is None else mask[:, t, :]


def order(T: int, reverse: bool) -> range:
    """The steps as they are taken. In reverse a sequence waits in its initial state until its last step comes."""
    return range(T - 1, -1, -1) if reverse else range(T)


def previous(xp: Namespace, mask: Array | None, states: Array, first: Array, reverse: bool) -> Array:
    """(N, T, H): the state before every step, from the states after it and the initial one."""
    first = first[:, None, :]
    if reverse:
        shifted = xp.concat([states[:, 1:, :], first], axis=1)
        known = None if mask is None else xp.concat([mask[:, 1:, :], mask[:, :1, :]], axis=1)
        return chosen(xp, known, shifted, xp.broadcast_to(first, states.shape))
    return xp.concat([first, states[:, :-1, :]], axis=1)


def flat(xp: Namespace, x: Array) -> Array:
    """(N, T, F) as (N T, F)."""
    return xp.reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


# For the functions that users call ---------------------------------------------------------------------------------


def given(name: str, x: Any, w: Tensor, H: int, states: dict[str, Any], lengths: Any) -> tuple[Tensor, list[Tensor]]:
    """x, and the states and lengths to hand to the op. A state that is None is all zeros.

    Lengths out of 0..T raise ShapeError here. On a GPU they are not looked at, which would wait for the device, and the
    op takes the nearest that is in range.
    """
    x = as_tensor(x, w)
    place, rows = x.backend, x.shape[0] if x.ndim else 0
    zeros = Spec((rows, H), x.dtype)
    more = [Tensor(place.full(zeros, 0), place) if s is None else as_tensor(s, x) for s in states.values()]
    if lengths is not None:
        lengths = as_tensor(lengths, x)
        if x.ndim == 3:
            need_lengths(name, lengths, x.shape[1])
        more.append(lengths)
    return x, more


def need_lengths(name: str, lengths: Tensor, T: int) -> None:
    """ShapeError for lengths on the host that are not within 0..T."""
    if lengths.backend.on_host and lengths.size and lengths.dtype.kind in "iu":
        low, high = lengths.data.min(), lengths.data.max()
        if not 0 <= low <= high <= T:
            raise ShapeError(f"{name}: expected lengths from 0 to {T}; got {low} to {high}")
