"""Which class was called which: the counts behind precision and recall, where the outputs are."""

from __future__ import annotations

import numpy as np

from xpnn.core.hits import need_scores
from xpnn.core.op import Arg, Case, Cost, Op, Outline, register
from xpnn.errors import ShapeError


def _infer(counts, scores, labels):
    need_scores("confusion", scores, labels)
    side = scores.shape[1] + 1
    if counts.shape != (side, side) or counts.dtype != np.int64:
        raise ShapeError(f"confusion: expected counts {(side, side)} int64; got {counts}")
    return Outline((counts,))


def _forward(xp, counts, scores, labels):
    C = scores.shape[1]
    classes = xp.arange(C + 1, dtype=xp.int64)[None, :]
    labels = xp.astype(labels, xp.int64)
    labels = xp.where((labels >= 0) & (labels < C), labels, xp.full_like(labels, C))
    called = xp.astype(xp.argmax(scores, axis=1), xp.int64)
    called = xp.where(xp.any(scores != scores, axis=1), xp.full_like(called, C), called)
    # Products of zeros and ones: exact, as long as there are fewer than 2^53 samples.
    rows, columns = (xp.astype(n[:, None] == classes, xp.float64) for n in (labels, called))
    return (counts + xp.astype(xp.matmul(rows.T, columns), xp.int64),), ()


CONFUSION = register(
    Op(
        name="confusion",
        inputs=("counts", "scores", "labels"),
        infer=_infer,
        forward=_forward,
        cost=lambda counts, scores, labels: Cost(scores.size, scores.nbytes + labels.nbytes + 2 * counts.nbytes),
        cases=tuple(
            Case((Arg((C + 1, C + 1), "labels", high=9), Arg((N, C), kind), Arg((N,), "labels", high=high)))
            for N, C, kind, high in ((64, 10, "normal", 10), (300, 3, "few", 5), (4, 1, "normal", 2))
        ),
        large=(Case((Arg((11, 11), "labels"), Arg((4096, 10)), Arg((4096,), "labels", high=10))),),
        updates=("counts",),
    )
)
"""counts (C + 1, C + 1) int64, in place: how often label i was called j, the first largest of scores (N, C). The last
row is of labels outside of 0..C-1, the last column of samples with NaN among their scores."""
