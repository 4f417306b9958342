"""What surrounds the matrix products of a dense layer.

Row by row, so that a row is still in L1 when the activation reads it: z (N, O) moves once, not twice.
"""

from __future__ import annotations

from xpnn_kernels.numba import activation
from xpnn_kernels.numba.jit import kernel

activate = activation.forward
deactivate = activation.backward


@kernel
def bias_activation(code, parameter, z, b, y):
    """z += b; y = f(z). z, y (N, O), may be one array, and are for a ReLU; b (O,), or (0,) for none."""
    zero = z.dtype.type(0)
    for n in range(z.shape[0]):
        row = z[n]
        if code == activation.RELU and b.size:  # in one loop over one array: two that are the same stop LLVM's vectors
            for o in range(row.size):
                v = row[o] + b[o]
                row[o] = zero if v < zero else v
            continue
        if b.size:
            for o in range(row.size):
                row[o] += b[o]
        if code != activation.NONE:
            activate(code, parameter, row, y[n])


@kernel
def bias_activation_backward(code, parameter, kept, dy, dz, db):
    """dz = dy f'(z); db = sum of dz over the rows. kept as in `activation.backward`; db (O,), or (0,) for none."""
    db[:] = 0
    for n in range(dy.shape[0]):
        row = dz[n]
        if code != activation.NONE:
            deactivate(code, parameter, kept[n], dy[n], row)
        for o in range(db.size):
            db[o] += row[o]
