"""Gather a batch from a data set, scaled: reads each row once (1 byte an element from uint8), writes float32 once."""

from __future__ import annotations

from xpnn_kernels.numba.jit import kernel


@kernel
def gather(data, indices, scale, shift, out):
    """out[n] = data[indices[n]] * scale + shift, rows of (rows, F) and (N, F). False where an index names no row."""
    a, b = out.dtype.type(scale), out.dtype.type(shift)
    for n in range(indices.size):
        if indices[n] < 0 or indices[n] >= len(data):
            return False
        row, target = data[indices[n]], out[n]
        for f in range(target.size):
            target[f] = out.dtype.type(row[f]) * a + b
    return True
