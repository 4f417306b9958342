"""Batch normalisation on CUDA: two launches each way, one where a block has all rows."""

from __future__ import annotations

from xpnn.backends.cupy.columns import THREADS, Tiles
from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

SOURCE = Source("batch_norm", dict.fromkeys(("moments", "line", "sums", "line_back", "average"), (REAL,)))


def _tiles(x):
    C = x.shape[-1]
    return Tiles(x.size // C, C)


def _call(name, tiles, grid, x, *args):
    return SOURCE.kernel(name, x.dtype).call(grid, THREADS, (x, *args, tiles.R, tiles.C, tiles.width))


def _guard(specs, attrs):
    return floating(specs, attrs) and specs[0].shape[-1] > 0


def _work(phase, x, *vectors, eps):
    """What each part of the rows has found, where there are several."""
    tiles = _tiles(x)
    parts = Spec((tiles.parts if tiles.parts > 1 else 0, tiles.C), x.dtype)
    return parts, parts


def _forward(outs, saved, x, gamma, beta, *, eps, work):
    tiles, (y, *stats) = _tiles(x), outs
    calls = [_call("moments", tiles, tiles.grid(tiles.parts), x, gamma, beta, eps, *work, *stats, *saved, y)]
    if tiles.parts > 1:
        args = (gamma, beta, eps, *work, tiles.parts, *stats, *saved, y)
        calls.append(_call("line", tiles, tiles.blocks(), x, *args))
    return made(calls)


def _gradients(x, dy, gamma, mean, rstd, var, eps, dmean, dvar, work, dins):
    tiles = _tiles(x)
    fixed, calls, parts = (dy, gamma, mean, rstd, var, eps, dmean, dvar), [], 0
    if dmean is not None or any(d is not None for d in dins[1:]):
        parts = tiles.parts
        calls.append(_call("sums", tiles, tiles.grid(parts), x, *fixed, *work, *dins))
    if parts != 1:
        calls.append(_call("line_back", tiles, tiles.blocks(), x, *fixed, *work, parts, *dins))
    return made(calls)


def _backward(dins, douts, kept, *, eps, work):
    (x, gamma, _), (mean, rstd), (dy, dmean, dvar) = kept.inputs, kept.saved, douts
    return _gradients(x, dy, gamma, mean, rstd, None, eps, dmean, dvar, work, dins)


def _inference(outs, saved, x, gamma, beta, mean, var, *, eps, work):
    tiles, none = _tiles(x), (None, None)
    return made([_call("line", tiles, tiles.blocks(), x, gamma, beta, eps, *none, 0, mean, var, *none, outs[0])])


def _inference_back(dins, douts, kept, *, eps, work):
    x, gamma, _, mean, var = kept.inputs
    return _gradients(x, douts[0], gamma, mean, None, var, eps, None, None, work, dins[:3])


def _average(outs, saved, old, new, *, rate, factor):
    kernel = SOURCE.kernel("average", old.dtype)
    return made([kernel.call(blocks(old.size), (256,), (old, new, outs[0], rate, factor, old.size))])


def _alike(specs, attrs):
    return floating(specs, attrs) and specs[0].dtype == specs[1].dtype


OVERRIDES = {
    "batch_norm": Override(_forward, _backward, _guard, work=_work),
    "batch_norm_inference": Override(_inference, _inference_back, _guard, work=_work),
    "moving_average": Override(_average, guard=_alike),
}
