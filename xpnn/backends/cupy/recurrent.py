"""What the recurrent ops share on CUDA: the product by x for all steps, the steps, and the gradients of the weights.

All steps are one cooperative launch where a block for every 16 units fits the GPU at a time, with its weights, rounded
as they will be multiplied, in shared memory. Else each step is a launch. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpnn.backends.cupy import gemm
from xpnn.backends.cupy.formats import FORMATS, ROUNDED, format_of
from xpnn.backends.cupy.module import INTEGER, INTEGER_DTYPES, REAL, Source, blocks, limits
from xpnn.core.contract import floating
from xpnn.core.op import Array, Spec

CELLS = ("Lstm", "Gru", "Rnn<TANH>", "Rnn<RELU>")
STEPS: dict[str, Any] = dict.fromkeys(("forward", "backward"), (FORMATS, CELLS))
TILES = tuple(f"{form}, {side}" for form in FORMATS for side in (64, 128) if side in gemm.TILES[form])
SOURCE = Source(
    "recurrent",
    {**STEPS, "inputs": (TILES, INTEGER), "inputs_back": (TILES,), "weights": (TILES,), "add": (REAL,)},
)
GRID = Source("recurrent_grid", STEPS, cooperative=True)
SIZES = {"float": 4, "double": 8, "Tf32": 4, "Bf16": 2, "Fp16": 2}
"""Bytes of a number in shared memory."""
ROWS = 16
STAGED = 32 << 10
"""Bytes of shared memory beside the weights, as in recurrent_grid.cu."""
AT_A_TIME = 256
"""Blocks that a GPU should have at the least, of a product whose sums can be split."""


class Layer(NamedTuple):
    """Sizes and arrays of one call. gates: where the sums by x go, and then the gates; saved: what else is kept."""

    cell: str
    u: Array
    h0: Array
    c0: Array | None
    inside: Array | None
    """The lengths within 0..T, or None."""
    y: Array
    gates: Array
    saved: Array | None
    handed: Array | None
    """What steps hand to one another, where they round it."""
    reverse: bool
    precision: str


def guard(specs, attrs):
    """Every array has elements, rows and states are counted by an int, lengths are of a type that kernels read."""
    N, T, _, H = sizes(specs[0], specs[2])
    lengths = specs[-1].dtype
    known = lengths.kind == "f" or lengths in INTEGER_DTYPES
    return floating(specs, attrs) and known and all([spec.size for spec in specs]) and N * max(T, H) < 1 << 30


def sizes(x, u):
    """(N, T, I, H) of arrays or specs."""
    return (*x.shape, u.shape[0])


def inside_spec(x, more):
    """Room for the lengths: nothing where there are none."""
    return Spec((x.shape[0] if more else 0,), np.dtype(np.int32))


def forward(layer: Layer, x, w, b, bias, h, c, more) -> list[Callable[[], None]]:
    """The launches, not yet made. bias (H,): of the candidate by h, or None; more: the lengths, if any."""
    N, T, I, H = sizes(x, layer.u)
    columns, lengths, form = layer.u.shape[1], more[0] if more else None, format_of(x.dtype, layer.precision)
    side = _side(x.dtype, (N * T, columns))
    kernel = SOURCE.kernel("inputs", f"{form}, {side}", "int" if lengths is None else lengths.dtype)
    args = (x, w, b, layer.h0, lengths, layer.inside, layer.handed, layer.gates, N, T, I, H, columns)
    states = (layer.gates, layer.u, bias, layer.h0, layer.c0, layer.inside, layer.y, h, c, layer.saved, layer.handed)
    inputs = kernel.call((gemm.tiles(N * T, columns, side),), (256,), args)
    return [inputs, *_steps("forward", layer, (*states, N, T, H, layer.reverse), range(T))]


def backward(layer: Layer, x, w, douts, dins, work) -> list[Callable[[], None]]:
    """dins: of x, w, u, b, bias, h0, c0; work: dz, dp (the same, or of the sums by h), carry or None, parts or None."""
    N, T, I, H = sizes(x, layer.u)
    columns, reverse, form = layer.u.shape[1], layer.reverse, format_of(x.dtype, layer.precision)
    dy, dh, dc = douts
    dx, dw, du, db, dbias, dh0, dc0 = dins
    dz, dp, carry, parts = work
    given = (layer.gates, layer.u, layer.h0, layer.c0, layer.inside, layer.y, layer.saved, dy, dh, dc)
    last = 0 if dh0 is None and dc0 is None else -1
    args = (*given, dz, dp, carry, dh0, dc0, layer.handed, N, T, H, reverse)
    calls = _steps("backward", layer, args, range(T - 1, last - 1, -1))
    if dx is not None:
        side = _side(x.dtype, (N * T, I))
        kernel, grid = SOURCE.kernel("inputs_back", f"{form}, {side}"), (gemm.tiles(N * T, I, side),)
        calls.append(kernel.call(grid, (256,), (dz, w, dx, N * T, I, columns)))
    wanted = dw, db, du, dbias
    if any([d is not None for d in wanted]):
        side, count, x_tiles, h_tiles, height = _parts(x, layer.u, dp is not dz)
        read, shape = (x, layer.y, layer.h0, layer.inside, dz, dp), (N, T, I, H, columns, x_tiles * count, height)
        kernel = SOURCE.kernel("weights", f"{form}, {side}")
        calls.append(
            kernel.call(((x_tiles + h_tiles) * count,), (256,), (*read, parts, count, *wanted, *shape, reverse))
        )
        if count > 1:
            kernel = SOURCE.kernel("add", x.dtype)
            calls.append(kernel.call(blocks(height * columns), (256,), (parts, count, *wanted, I, H, columns, height)))
    return calls


def parts_spec(x, u, apart):
    """Room for the sums of each part of the steps, if there is more than one. apart: dp is not dz."""
    _, count, *_, height = _parts(x, u, apart)
    return Spec((count if count > 1 else 0, height, u.shape[1]), x.dtype)


def handed_spec(phase, x, u, precision):
    """Room for what each of two steps hands to the next, as it will be multiplied: nothing where nothing is rounded."""
    (N, _, _, H), gates = sizes(x, u), 1 if phase == "forward" else u.shape[1] // u.shape[0]
    form = ROUNDED.get(precision)
    if form is None or x.dtype != np.float32:
        return Spec((0,), np.dtype(np.uint32))
    return Spec((2 * _whole(N) * _depth(form, gates, H) * SIZES[form] // 4,), np.dtype(np.uint32))


def some(array: Array) -> Array | None:
    """The array, or None if it has no elements."""
    return array if array.size else None


def _tiles(n, each=ROWS):
    return -(-n // each)


def _side(dtype, *products):
    """Of the tiles of products over all steps, of so many rows and columns, in one launch."""
    return max(64, gemm.choose(dtype, [(*shape, 1) for shape in products]))


def _whole(n, each=ROWS):
    return _tiles(n, each) * each


def _depth(form, gates, H):
    """How many numbers of a format a product of a step has in a sum, with those that fill up: a warp takes them by 16,
    or of half the size by 32."""
    return _whole(gates * _whole(H), 64 // min(SIZES[form], 4))


def _parts(x, u, apart):
    """(side of the tiles, parts of all steps, tiles of [x, 1]^T dz, and of [h, 1]^T dp, rows of both): the gradients of
    the weights."""
    N, T, I, H = sizes(x, u)
    by_x, by_h = (I + 1, u.shape[1]), (H + apart, u.shape[1])
    side = _side(x.dtype, by_x, by_h)
    x_tiles, h_tiles = gemm.tiles(*by_x, side), gemm.tiles(*by_h, side)
    count = min(max(1, AT_A_TIME // (x_tiles + h_tiles)), _tiles(N * T, 256))
    return side, count, x_tiles, h_tiles, I + 1 + H + apart


def resident(name, form, gates, H, N):
    """(grid, bytes of shared memory) of one launch for all steps, or None where the GPU has not that much."""
    units, rows, (multiprocessors, most) = _tiles(H), _tiles(N), limits()
    summed, columns = (1, gates) if name == "forward" else (gates, 1)
    shared = STAGED + _depth(form, summed, H) * columns * ROWS * SIZES[form]
    if units > multiprocessors or shared > most:
        return None
    return (units, min(rows, multiprocessors // units)), shared


def _steps(name, layer, args, order):
    """One launch for all steps, or one for each."""
    (H, columns), N = layer.u.shape, layer.h0.shape[0]
    form = format_of(layer.u.dtype, layer.precision)
    found = resident(name, form, columns // H, H, N)
    if found is not None:
        grid, shared = found
        return [GRID.kernel(name, form, layer.cell).call(grid, (256,), args, shared)]
    kernel, grid = SOURCE.kernel(name, form, layer.cell), (_tiles(H), min(_tiles(N), 1 << 15))
    return [kernel.call(grid, (256,), (*args, s)) for s in order]
