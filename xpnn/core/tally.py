"""The loss of an epoch, added up where it is: what a recorded step keeps for the host to look at when it wants to."""

from __future__ import annotations

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, register
from xpnn.errors import ShapeError


def _infer(sums, halted, loss, samples):
    need_floating("tally", sums=sums)
    need_floating("tally", loss=loss)
    if sums.shape != (3,) or halted.shape or halted.dtype != np.int64 or loss.size != 1:
        found = f"{sums}, {halted} and {loss}"
        raise ShapeError(f"tally: expected sums (3,), halted () int64 and the loss of a step, a scalar; got {found}")
    return Outline((sums, halted))


def _forward(xp, sums, halted, loss, samples):
    loss, (total, bad, steps) = xp.astype(xp.reshape(loss, ()), sums.dtype), (sums[i] for i in range(3))
    steps, now = steps + 1, (halted == 0) & ~xp.isfinite(loss)
    halted = xp.where(now, xp.astype(steps, xp.int64), halted)
    return (xp.stack([total + loss * samples, xp.where(now, loss, bad), steps]), halted), ()


TALLY = register(
    Op(
        name="tally",
        inputs=("sums", "halted", "loss"),
        infer=_infer,
        forward=_forward,
        cost=lambda sums, halted, loss, samples: Cost(4, 2 * sums.nbytes + 2 * halted.nbytes + loss.nbytes),
        cases=(
            Case((Arg((3,)), Arg((), "labels", high=1), Arg(())), {"samples": 64}),
            Case((Arg((3,)), Arg((), "labels", high=9), Arg((1,))), {"samples": 7}),
        ),
        large=(Case((Arg((3,)), Arg((), "labels", high=1), Arg(())), {"samples": 64}),),
        updates=("sums", "halted"),
    )
)
"""In place: sums (3,), of the losses times their samples, the first loss that was not finite, and the steps; and
halted, the number of that step, counted from 1, or 0 as long as there was none."""
