"""How many samples are classified right: what accuracy counts, where the outputs are."""

from __future__ import annotations

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.errors import DTypeError, ShapeError


def _infer(scores, labels):
    need_floating("hits", scores=scores)
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"hits: expected integer labels; got {labels.dtype}")
    if len(scores.shape) != 2 or scores.shape[1] == 0 or labels.shape != scores.shape[:1]:
        raise ShapeError(f"hits: expected scores (N, C) and labels (N,); got {scores.shape} and {labels.shape}")
    return Outline((Spec((), np.dtype(np.int64)),))


def _forward(xp, scores, labels):
    best = xp.max(scores, axis=1)
    predicted = xp.argmax(scores, axis=1)
    right = (predicted == xp.astype(labels, predicted.dtype)) & (best == best)
    return (xp.sum(xp.astype(right, xp.int64)),), ()


HITS = register(
    Op(
        name="hits",
        inputs=("scores", "labels"),
        infer=_infer,
        forward=_forward,
        cost=lambda scores, labels: Cost(scores.size, scores.nbytes + labels.nbytes),
        cases=(
            Case((Arg((64, 10)), Arg((64,), "labels", high=10))),
            Case((Arg((5, 3), "few"), Arg((5,), "labels", high=3))),
            Case((Arg((4, 1)), Arg((4,), "labels", high=2))),
        ),
        large=(Case((Arg((4096, 10)), Arg((4096,), "labels", high=10))),),
    )
)
"""The number of rows of scores (N, C) whose (first) largest is at the label (N,); a row with NaN never counts."""
