"""Dense on CUDA: one launch forward and one backward, of our tiles."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from xpnn.backends.cupy import activation as activations
from xpnn.backends.cupy import gemm
from xpnn.backends.cupy.activation import CODES, parameter
from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

SOURCE = Source(
    "dense",
    {"forward": gemm.KERNELS, "backward": gemm.KERNELS, "forward_total": (REAL,), "backward_total": (REAL,)},
)
LONG_SLOPES = ("gelu", "silu", "softplus")
"""Derivatives that cost more than to read them: dz is written once instead of formed by every tile that reads dy."""


class Plan(NamedTuple):
    """Tiles of a layer of N samples, and how many blocks share their K: I of y, O of dx, N of dw."""

    N: int
    y_side: int
    y_parts: int
    side: int
    x_parts: int
    w_parts: int


@cache
def plan(x: Spec, w: Spec) -> Plan:
    I, O = w.shape
    N, dtype = x.size // I, x.dtype
    y_side = gemm.choose(dtype, [(N, O, 1)])
    side = gemm.choose(dtype, [(N, I, 1), (I + 1, O, 1)])  # wanted or not: the same sums in the same order
    y_parts = gemm.parts(dtype, y_side, gemm.tiles(N, O, y_side), I)
    x_parts = gemm.parts(dtype, side, gemm.tiles(N, I, side), O)
    return Plan(N, y_side, y_parts, side, x_parts, gemm.parts(dtype, side, gemm.tiles(I + 1, O, side), N))


def _guard(specs, attrs):
    return floating(specs, attrs) and all(spec.size for spec in specs)  # nothing to add up: the reference


def _work(phase, x, w, b=None, *, activation):
    """The sums of blocks that share K; backward: dz, and those of dx and of dw and db."""
    if not _guard((x, w), {}):
        return ()
    (I, O), tiles = w.shape, plan(x, w)
    if phase == "forward":
        sizes = [tiles.N * O * tiles.y_parts * (tiles.y_parts > 1)]
    else:
        dz = tiles.N * O * (activation in LONG_SLOPES)
        x_sums, w_sums = tiles.N * I * (tiles.x_parts > 1), I * O * (tiles.w_parts > 1)
        sizes = [dz, x_sums * tiles.x_parts, w_sums * tiles.w_parts, O * tiles.w_parts * (tiles.w_parts > 1)]
    return tuple([Spec((size,), x.dtype) for size in sizes])


def _specs(arrays):
    return [Spec(a.shape, a.dtype) for a in arrays]


def _forward(outs, saved, x, w, b=None, *, activation, work):
    (N, side, parts, *_), (I, O) = plan(*_specs((x, w))), w.shape
    z, y, (sums,) = saved[0] if saved else None, outs[0], work
    f = CODES[activation], parameter(activation, {})
    grid = (gemm.tiles(N, O, side) * parts,)
    args = (x, w, b, z, y, sums, *f, N, I, O, parts)
    calls = [SOURCE.kernel("forward", x.dtype, side).call(grid, (256,), args)]
    if parts > 1:
        args = (sums, b, z, y, *f, O, parts, y.size)
        calls.append(SOURCE.kernel("forward_total", x.dtype).call(blocks(y.size), (256,), args))
    return made(calls)


def _backward(dins, douts, kept, *, activation, work):
    (x, w), (dx, dw, db), (dz, *sums) = kept.inputs[:2], (*dins, None)[:3], work
    (N, _, _, side, x_parts, w_parts), (I, O), dtype = plan(*kept.specs[:2]), w.shape, x.dtype
    source, dy = (kept.saved or kept.outs)[0], douts[0]
    code, p, calls = CODES[activation], parameter(activation, {}), []
    if activation in LONG_SLOPES:
        args = (source, dy, dz, code, p, dy.size)
        calls.append(activations.SOURCE.kernel("backward", dtype).call(blocks(dy.size), (256,), args))
        code, dy = 0, dz
    parts, wanted = (x_parts, w_parts, w_parts), (dx, dw, db)
    shared = [array is not None and n > 1 for array, n in zip(wanted, parts, strict=True)]
    first = [total if there else array for array, there, total in zip(wanted, shared, sums, strict=True)]
    rows = 0 if dw is None else I
    x_blocks = 0 if dx is None else gemm.tiles(N, I, side) * x_parts
    grid = (x_blocks + gemm.tiles(rows + (db is not None), O, side) * w_parts,)
    args = (dy, source, code, p, x, w, *first, N, I, O, rows, x_blocks, x_parts, w_parts)
    calls.append(SOURCE.kernel("backward", dtype, side).call(grid, (256,), args))
    if any(shared):
        sizes = [array.size if there else 0 for array, there in zip(wanted, shared, strict=True)]
        args = (sums[0], dx, x_parts, sizes[0], sums[1], dw, sums[2], db, w_parts, *sizes[1:])
        calls.append(SOURCE.kernel("backward_total", dtype).call(blocks(sum(sizes)), (256,), args))
    return made(calls)


OVERRIDES = {"dense": Override(_forward, _backward, _guard, work=_work)}
