"""Layer normalisation on CUDA: a launch forward, two backward."""

from __future__ import annotations

from xpnn.backends.cupy.columns import THREADS, Tiles
from xpnn.backends.cupy.module import REAL, Source
from xpnn.core.contract import Override, made
from xpnn.core.op import Spec

TEAMS = (32, *THREADS)
SOURCE = Source("layer_norm", {"forward": (REAL, TEAMS), "sums": (REAL,), "back": (REAL, TEAMS)})
WIDE, FEW = 2048, 1024
"""A row is the work of a block where it has so many features, or an eighth of them and there are few rows."""


def _tiles(x):
    C = x.shape[-1]
    return Tiles(x.size // C, C)


def _rows(tiles):
    """(team, blocks that do the rows)."""
    team = TEAMS[(WIDE // 8 if tiles.R < FEW else WIDE) <= tiles.C]
    return team, min(max(1, -(-tiles.R // (THREADS[0] // team))), 1 << 16)


def _forward(outs, saved, x, gamma=None, beta=None, *, eps, work):
    tiles = _tiles(x)
    team, grid = _rows(tiles)
    args = (x, gamma, beta, eps, *saved, outs[0], tiles.R, tiles.C)
    return made([SOURCE.kernel("forward", x.dtype, team).call((grid,), THREADS, args)])


def _work(phase, x, *vectors, eps):
    """The sums of each part of the rows, where there are several."""
    tiles = _tiles(x)
    parts = Spec((tiles.parts if tiles.parts > 1 else 0, tiles.C), x.dtype)
    return (parts, parts) if phase == "backward" else ()


def _backward(dins, douts, kept, *, eps, work):
    (x, gamma), (dx, dgamma, dbeta) = (*kept.inputs, None)[:2], (*dins, None, None)[:3]
    tiles, stats, calls, parts = _tiles(x), kept.saved, [], 0
    if dgamma is not None or dbeta is not None:
        args = (x, douts[0], *stats, *work, dgamma, dbeta, tiles.R, tiles.C, tiles.width)
        calls.append(SOURCE.kernel("sums", x.dtype).call(tiles.grid(tiles.parts), THREADS, args))
        parts = tiles.parts if tiles.parts > 1 else 0
    if dx is not None or parts:
        team, grid = _rows(tiles)
        columns = tiles.tiles if parts else 0
        args = (x, douts[0], gamma, *stats, *work, parts, dx, dgamma, dbeta, tiles.R, tiles.C, tiles.width, columns)
        calls.append(
            SOURCE.kernel("back", x.dtype, team).call((max(grid if dx is not None else 1, columns),), THREADS, args)
        )
    return made(calls)


OVERRIDES = {"layer_norm": Override(_forward, _backward, work=_work)}
