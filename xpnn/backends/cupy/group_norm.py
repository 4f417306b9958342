"""Group normalisation on CUDA: a launch forward, two backward."""

from __future__ import annotations

from math import prod

from xpnn.backends.cupy.columns import THREADS, Tiles, width_of
from xpnn.backends.cupy.module import REAL, Source
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

SOURCE = Source("group_norm", dict.fromkeys(("forward", "back", "total"), (REAL,)))


def _call(name, x, groups, *args):
    """A block for each sample and as many groups as 32 channels hold."""
    D = x.shape[-1] // groups
    together = min(groups, max(1, 32 // D))
    grid = (len(x) * -(-groups // together),)
    geometry = (prod(x.shape[1:-1]), groups, D, together, width_of(together * D))
    return SOURCE.kernel(name, x.dtype).call(grid, THREADS, (x, *args, *geometry))


def _forward(outs, saved, x, gamma, beta, *, groups, eps, work):
    return made([_call("forward", x, groups, gamma, beta, eps, *saved, outs[0])])


def _work(phase, x, gamma, beta, *, groups, eps):
    """What each sample gives to the gradients of gamma and beta."""
    each = Spec((x.shape[0], x.shape[-1]), x.dtype)
    return (each, each) if phase == "backward" else ()


def _backward(dins, douts, kept, *, groups, eps, work):
    (x, gamma, _), (dx, *vectors) = kept.inputs, dins
    calls = [_call("back", x, groups, douts[0], gamma, *kept.saved, *work, dx)]
    if any(v is not None for v in vectors):
        tiles = Tiles(*work[0].shape)
        args = (*work, *vectors, tiles.R, tiles.C, tiles.width)
        calls.append(SOURCE.kernel("total", x.dtype).call(tiles.grid(1), THREADS, args))
    return made(calls)


def _guard(specs, attrs):
    return floating(specs, attrs) and specs[0].size > 0


OVERRIDES = {"group_norm": Override(_forward, _backward, _guard, work=_work)}
