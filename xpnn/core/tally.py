"""The loss of an epoch, added up where it is: what a recorded step keeps for the host to look at when it wants to."""

from __future__ import annotations

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, register
from xpnn.errors import ShapeError


def _infer(sums, halted, loss, samples):
    need_floating("tally", sums=sums, halted=halted)
    need_floating("tally", loss=loss)
    if sums.shape != (2,) or halted.shape or loss.size != 1:
        found = f"{sums.shape}, {halted.shape} and {loss.shape}"
        raise ShapeError(f"tally: expected sums (2,), halted () and the loss of a step, a scalar; got {found}")
    return Outline((sums, halted))


def _forward(xp, sums, halted, loss, samples):
    loss = xp.astype(xp.reshape(loss, ()), sums.dtype)
    halted = xp.where((halted == 0) & ~xp.isfinite(loss), loss, halted)
    goes_on = xp.astype(halted == 0, sums.dtype)
    return (sums + xp.stack([loss * samples, goes_on]), halted), ()


TALLY = register(
    Op(
        name="tally",
        inputs=("sums", "halted", "loss"),
        infer=_infer,
        forward=_forward,
        cost=lambda sums, halted, loss, samples: Cost(4, 2 * sums.nbytes + 2 * halted.nbytes + loss.nbytes),
        cases=(
            Case((Arg((2,)), Arg((), "zero"), Arg(())), {"samples": 64}),
            Case((Arg((2,)), Arg((), "positive"), Arg((1,))), {"samples": 7}),
        ),
        updates=("sums", "halted"),
    )
)
"""In place: sums (2,), of the losses times their samples and of the steps before the first loss that is not finite; and
halted, that loss, 0 as long as there is none. NaN is not 0: what asks whether `halted` is 0 is answered right."""
