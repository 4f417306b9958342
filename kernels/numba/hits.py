"""Samples classified right: reads scores (N, C) and labels once, keeps counts."""

from __future__ import annotations

from xpnn_kernels.numba.jit import kernel


@kernel
def hits(counts, scores, labels, k, out):
    """out = counts (2,) and the rows of scores whose label is among the k largest, and all rows. Of equal scores the
    first counts; a row with NaN is none, nor is a label that is no class."""
    found, C = 0, scores.shape[1]
    for n in range(scores.shape[0]):
        row, label, ahead, whole = scores[n], labels[n], 0, True
        if label < 0 or label >= C:
            continue
        asked = row[label]
        for c in range(C):
            whole = whole and row[c] == row[c]
            ahead += 1 if row[c] > asked or (row[c] == asked and c < label) else 0
        found += 1 if whole and ahead < k else 0
    out[0] = counts[0] + found
    out[1] = counts[1] + scores.shape[0]
