"""What the recurrent ops share on CUDA: the product by x for all steps, the steps, and the gradients of the weights.

All steps are one cooperative launch where a block for every 16 units fits the GPU at a time, with its weights in shared
memory. Else each step is a launch. Both give the same bits.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from xpnn.backends.cupy.formats import FORMATS, format_of
from xpnn.backends.cupy.module import INTEGER, INTEGER_DTYPES, REAL, Source, blocks, limits
from xpnn.core.contract import floating
from xpnn.core.op import Array, Spec

CELLS = ("Lstm", "Gru", "Rnn<TANH>", "Rnn<RELU>")
STEPS: dict[str, Any] = dict.fromkeys(("forward", "backward"), (REAL, CELLS))
SOURCE = Source(
    "recurrent",
    {**STEPS, "inputs": (FORMATS, INTEGER), "inputs_back": (FORMATS,), "weights": (REAL,), "add": (REAL,)},
)
GRID = Source("recurrent_grid", STEPS, cooperative=True)
ROWS, TILE = 16, 64
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
    reverse: bool
    precision: str
    """Of the products over all steps; those of a step, whose errors every later step inherits, are in float32."""


def guard(specs, attrs):
    """Every array has elements, rows are counted by an int, lengths are of a type that kernels read."""
    N, T, _ = specs[0].shape
    lengths = specs[-1].dtype
    known = lengths.kind == "f" or lengths in INTEGER_DTYPES
    return floating(specs, attrs) and known and all([spec.size for spec in specs]) and N * T < 1 << 30


def sizes(x, u):
    """(N, T, I, H) of arrays or specs."""
    return (*x.shape, u.shape[0])


def inside_spec(x, more):
    """Room for the lengths: nothing where there are none."""
    return Spec((x.shape[0] if more else 0,), np.dtype(np.int32))


def forward(layer: Layer, x, w, b, bias, h, c, more) -> list[Callable[[], None]]:
    """The launches, not yet made. bias (H,): of the candidate by h, or None; more: the lengths, if any."""
    N, T, I, H = sizes(x, layer.u)
    columns, lengths = layer.u.shape[1], more[0] if more else None
    kernel = SOURCE.kernel("inputs", format_of(x.dtype, layer.precision), "int" if lengths is None else lengths.dtype)
    args = (x, w, b, lengths, layer.inside, layer.gates, N, T, I, columns)
    states = (layer.gates, layer.u, bias, layer.h0, layer.c0, layer.inside, layer.y, h, c, layer.saved)
    inputs = kernel.call((_tiles(N * T), _tiles(columns)), (256,), args)
    return [inputs, *_steps("forward", layer, (*states, N, T, H, layer.reverse), range(T))]


def backward(layer: Layer, x, w, douts, dins, work) -> list[Callable[[], None]]:
    """dins: of x, w, u, b, bias, h0, c0; work: dz, dp (the same, or of the sums by h), carry or None, parts or None."""
    N, T, I, H = sizes(x, layer.u)
    columns, reverse = layer.u.shape[1], layer.reverse
    dy, dh, dc = douts
    dx, dw, du, db, dbias, dh0, dc0 = dins
    dz, dp, carry, parts = work
    given = (layer.gates, layer.u, layer.h0, layer.c0, layer.inside, layer.y, layer.saved, dy, dh, dc)
    last = 0 if dh0 is None and dc0 is None else -1
    args = (*given, dz, dp, carry, dh0, dc0, N, T, H, reverse)
    calls = _steps("backward", layer, args, range(T - 1, last - 1, -1))
    if dx is not None:
        kernel = SOURCE.kernel("inputs_back", format_of(x.dtype, layer.precision))
        calls.append(kernel.call((_tiles(N * T), _tiles(I)), (256,), (dz, w, dx, N * T, I, columns)))
    wanted = dw, db, du, dbias
    if any([d is not None for d in wanted]):
        count, each, by_x, height = _parts(x, layer.u, dp is not dz)
        grid = _tiles(columns), _tiles(by_x) + _tiles(height - by_x), count
        read, shape = (x, layer.y, layer.h0, layer.inside, dz, dp), (N, T, I, H, columns, by_x, height)
        kernel = SOURCE.kernel("weights", x.dtype)
        calls.append(kernel.call(grid, (256,), (*read, parts, each, *wanted, *shape, reverse)))
        if count > 1:
            kernel = SOURCE.kernel("add", x.dtype)
            calls.append(kernel.call(blocks(height * columns), (256,), (parts, count, *wanted, I, H, columns, height)))
    return calls


def parts_spec(x, u, apart):
    """Room for the sums of each part of the steps, if there is more than one. apart: dp is not dz."""
    count, _, _, height = _parts(x, u, apart)
    return Spec((count if count > 1 else 0, height, u.shape[1]), x.dtype)


def some(array: Array) -> Array | None:
    """The array, or None if it has no elements."""
    return array if array.size else None


def _tiles(n, each=TILE):
    return -(-n // each)


def _parts(x, u, apart):
    """(parts, steps in each, rows that are multiplied with dz, all rows) of the gradients of the weights."""
    N, T, I, H = sizes(x, u)
    by_x, height = (I + 1, I + H + 2) if apart else (I + H + 1, I + H + 1)
    tiles = _tiles(u.shape[1]) * (_tiles(by_x) + _tiles(height - by_x))
    count = min(max(1, AT_A_TIME // tiles), _tiles(N * T, 256))
    each = _tiles(_tiles(N * T, count), ROWS) * ROWS
    return _tiles(N * T, each), each, by_x, height


def _steps(name, layer, args, order):
    """One launch for all steps, or one for each."""
    u = layer.u
    (H, columns), N = u.shape, layer.h0.shape[0]
    units, rows = _tiles(H, ROWS), _tiles(N, ROWS)
    multiprocessors, most = limits()
    rows_of_weights = units * (columns // H) if name == "forward" else _tiles(columns, ROWS)
    shared = STAGED + rows_of_weights * ROWS * ROWS * u.dtype.itemsize
    if units <= multiprocessors and shared <= most:
        grid = units, min(rows, multiprocessors // units)
        return [GRID.kernel(name, u.dtype, layer.cell).call(grid, (256,), args, shared)]
    kernel, grid = SOURCE.kernel(name, u.dtype, layer.cell), (units, min(rows, 1 << 15))
    return [kernel.call(grid, (256,), (*args, s)) for s in order]
