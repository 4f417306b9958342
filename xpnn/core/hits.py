"""How many samples are classified right: what accuracy and top-k count, where the outputs are."""

from __future__ import annotations

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, register
from xpnn.errors import DTypeError, ShapeError


def need_scores(name, scores, labels):
    """ShapeError or DTypeError unless these are scores (N, C) and labels (N,)."""
    need_floating(name, scores=scores)
    if labels.dtype.kind not in "iu":
        raise DTypeError(f"{name}: expected integer labels; got {labels.dtype}")
    if len(scores.shape) != 2 or scores.shape[1] == 0 or labels.shape != scores.shape[:1]:
        raise ShapeError(f"{name}: expected scores (N, C) and labels (N,); got {scores.shape} and {labels.shape}")


def _infer(counts, scores, labels, k):
    need_scores("hits", scores, labels)
    if counts.shape != (2,) or counts.dtype != np.int64:
        raise ShapeError(f"hits: expected counts (2,) int64; got {counts}")
    if not 1 <= k <= scores.shape[1]:
        raise ShapeError(f"hits: expected k from 1 to the number of classes, {scores.shape[1]}; got {k}")
    return Outline((counts,))


def _forward(xp, counts, scores, labels, k):
    classes = xp.arange(scores.shape[1])[None, :]
    labels = xp.astype(labels, classes.dtype)[:, None]
    asked = xp.max(xp.where(classes == labels, scores, xp.full_like(scores, -xp.inf)), axis=1, keepdims=True)
    # Those before it: larger, or equal with a lower number.
    ahead = (scores > asked) | ((scores == asked) & (classes < labels))
    right = (xp.sum(xp.astype(ahead, xp.int64), axis=1) < k) & xp.any(classes == labels, axis=1)
    right = right & ~xp.any(scores != scores, axis=1)
    found = xp.sum(xp.astype(right, xp.int64))
    return (counts + xp.stack([found, xp.full_like(found, scores.shape[0])]),), ()


HITS = register(
    Op(
        name="hits",
        inputs=("counts", "scores", "labels"),
        infer=_infer,
        forward=_forward,
        cost=lambda counts, scores, labels, k: Cost(2 * scores.size, scores.nbytes + labels.nbytes),
        cases=tuple(
            Case((Arg((2,), "labels", high=9), Arg(shape, kind), Arg(shape[:1], "labels", high=high)), {"k": k})
            for shape, kind, high, k in (
                ((64, 10), "normal", 10, 1),
                ((5, 3), "few", 3, 1),
                ((4, 1), "normal", 2, 1),
                ((300, 7), "few", 9, 3),
            )
        ),
        large=(Case((Arg((2,), "labels"), Arg((4096, 10)), Arg((4096,), "labels", high=10)), {"k": 1}),),
        updates=("counts",),
    )
)
"""counts (2,) int64, in place: the rows of scores (N, C) whose label (N,) is among the k largest, and all rows. Of
equal scores the first counts; a row with NaN never does, nor does a label outside of 0..C-1."""
