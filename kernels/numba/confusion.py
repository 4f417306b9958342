"""Which class was called which: reads scores (N, C) and labels once, adds to counts (C + 1, C + 1) in place."""

from __future__ import annotations

from xpnn_kernels.numba.jit import kernel


@kernel
def confusion(scores, labels, counts):
    """One more at [label, the first largest]; the last row is of labels that are no class, the last column of NaN."""
    C = scores.shape[1]
    for n in range(scores.shape[0]):
        row, at, whole, label = scores[n], 0, True, labels[n]
        for c in range(C):
            whole = whole and row[c] == row[c]
            at = c if row[c] > row[at] else at
        inside = label >= 0 and label < C
        counts[label if inside else C, at if whole else C] += 1
