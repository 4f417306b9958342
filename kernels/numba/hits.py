"""Samples classified right: reads scores (N, C) and labels once, keeps a count."""

from __future__ import annotations

from xpnn_kernels.numba.jit import kernel


@kernel
def hits(scores, labels, out):
    """out (1,) = rows of scores whose first largest element is at the label; a row with NaN is none."""
    count = 0
    for n in range(scores.shape[0]):
        row, at, whole = scores[n], 0, True
        for c in range(row.size):
            whole = whole and row[c] == row[c]
            at = c if row[c] > row[at] else at
        count += 1 if whole and at == labels[n] else 0
    out[0] = count
