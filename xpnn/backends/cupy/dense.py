"""Dense on CUDA: one launch forward and one backward, of our tiles; large layers by cuBLASLt, where it is at hand."""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from xpnn.backends.cupy import activation as activations
from xpnn.backends.cupy import blas, gemm
from xpnn.backends.cupy.activation import CODES, parameter
from xpnn.backends.cupy.formats import format_of
from xpnn.backends.cupy.gemm import Product
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
    y: Product
    x: Product
    w: Product
    """x w, dz w^T and x^T dz, for the library."""


@cache
def plan(x: Spec, w: Spec) -> Plan:
    I, O = w.shape
    N, dtype = x.size // I, x.dtype
    y_side = gemm.choose(dtype, [(N, O, 1)])
    side = gemm.choose(dtype, [(N, I, 1), (I + 1, O, 1)])  # wanted or not: the same sums in the same order
    y_parts = gemm.parts(dtype, y_side, gemm.tiles(N, O, y_side), I)
    x_parts = gemm.parts(dtype, side, gemm.tiles(N, I, side), O)
    w_parts = gemm.parts(dtype, side, gemm.tiles(I + 1, O, side), N)
    y = Product(N, O, I, (I, 1), (1, O), dtype)
    dx, dw = Product(N, I, O, (O, 1), (O, 1), dtype), Product(I, O, N, (1, I), (1, O), dtype)
    return Plan(N, y_side, y_parts, side, x_parts, w_parts, y, dx, dw)


def _guard(specs, attrs):
    return floating(specs, attrs) and all(spec.size for spec in specs)  # nothing to add up: the reference


def _work(phase, x, w, b=None, *, activation, precision="fast"):
    """The sums of blocks that share K; backward: dz, and those of dx, dw and db."""
    (I, O), tiles, dtype = w.shape, plan(x, w), x.dtype
    if phase == "forward":
        return tuple(gemm.shared(tiles.y_parts, tiles.N * O, dtype))
    dz = [Spec((tiles.N * O,), dtype)] * _writes_dz(tiles, activation)
    of_x, of_w = gemm.shared(tiles.x_parts, tiles.N * I, dtype), gemm.shared(tiles.w_parts, I * O, dtype)
    return (*dz, *of_x, *of_w, *gemm.shared(tiles.w_parts, O, dtype))


def _writes_dz(tiles, activation):
    return activation in LONG_SLOPES or (activation is not None and blas.serves(tiles.y))


def _specs(*arrays):
    return [Spec(a.shape, a.dtype) for a in arrays]


def _elementwise(phase, activation, *arrays):
    n, args = arrays[-1].size, (*arrays, CODES[activation], parameter(activation, {}), arrays[-1].size)
    return activations.SOURCE.kernel(phase, arrays[-1].dtype).call(blocks(n), (256,), args)


def _forward(outs, saved, x, w, b=None, *, activation, precision="fast", work):
    (N, side, parts, *_, product, _, _), (I, O) = plan(*_specs(x, w)), w.shape
    z, y = saved[0] if saved else None, outs[0]
    if blas.serves(product):
        z = y if z is None else z
        call = blas.Call(product, precision, x, w, z, b, "DEFAULT" if b is None else "BIAS")
        return made([call] if activation is None else [call, _elementwise("forward", activation, z, y)])
    f, form = (CODES[activation], parameter(activation, {})), format_of(x.dtype, precision)
    grid = (gemm.tiles(N, O, side) * parts,)
    sums = work[0] if parts > 1 else None
    args = (x, w, b, z, y, sums, *f, N, I, O, parts)
    calls = [SOURCE.kernel("forward", form, side).call(grid, (256,), args)]
    if parts > 1:
        total = SOURCE.kernel("forward_total", x.dtype)
        calls.append(total.call(blocks(y.size), (256,), (sums, b, z, y, *f, O, parts, y.size)))
    return made(calls)


def _backward(dins, douts, kept, *, activation, precision="fast", work):
    (x, w), (dx, dw, db), work = kept.inputs[:2], (*dins, None)[:3], list(work)
    tiles, source, dy, calls = plan(*kept.specs[:2]), (kept.saved or kept.outs)[0], douts[0], []
    if _writes_dz(tiles, activation):
        calls.append(_elementwise("backward", activation, source, dy, work[0]))
        activation, dy = None, work.pop(0)
    if blas.serves(tiles.y):
        if dx is not None:
            calls.append(blas.Call(tiles.x, precision, dy, w, dx))
        if dw is not None:
            calls.append(blas.Call(tiles.w, precision, x, dy, dw, db, "DEFAULT" if db is None else "BGRADA"))
        dx, dw, db = None, None, db if dw is None else None
    if any(array is not None for array in (dx, dw, db)):
        calls += _by_tiles(tiles, format_of(x.dtype, precision), source, dy, activation, x, w, (dx, dw, db), work)
    return made(calls)


def _by_tiles(tiles, form, source, dy, activation, x, w, wanted, work):
    (N, _, _, side, x_parts, w_parts, *_), (I, O), (dx, dw, db) = tiles, w.shape, wanted
    sums = [work.pop(0) if parts > 1 else None for parts in (x_parts, w_parts, w_parts)]
    shared = [array is not None and n > 1 for array, n in zip(wanted, (x_parts, w_parts, w_parts), strict=True)]
    first = [total if there else array for array, there, total in zip(wanted, shared, sums, strict=True)]
    rows = 0 if dw is None else I
    x_blocks = 0 if dx is None else gemm.tiles(N, I, side) * x_parts
    grid = (x_blocks + gemm.tiles(rows + (db is not None), O, side) * w_parts,)
    f = CODES[activation], parameter(activation, {})
    args = (dy, source, *f, x, w, *first, N, I, O, rows, x_blocks, x_parts, w_parts)
    calls = [SOURCE.kernel("backward", form, side).call(grid, (256,), args)]
    if any(shared):
        sizes = [array.size if there else 0 for array, there in zip(wanted, shared, strict=True)]
        args = (sums[0], dx, x_parts, sizes[0], sums[1], dw, sums[2], db, w_parts, *sizes[1:])
        calls.append(SOURCE.kernel("backward_total", x.dtype).call(blocks(sum(sizes)), (256,), args))
    return calls


OVERRIDES = {"dense": Override(_forward, _backward, _guard, work=_work, lean=True, precision=True)}
