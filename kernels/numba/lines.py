"""What is done with a stretch of memory: loops over whole slices, which LLVM turns into vectors (offsets stop it)."""

from __future__ import annotations

from xpnn_kernels.numba.jit import kernel


@kernel
def clear(y):
    """y = 0"""
    for i in range(y.size):
        y[i] = 0


@kernel
def copy(x, y):
    """y = x"""
    for i in range(y.size):
        y[i] = x[i]


@kernel
def mask(dy, y, dz):
    """dz = dy where y > 0, else 0 dy: the gradient of a ReLU; NaN stays NaN. dz may be dy."""
    for i in range(dz.size):
        dz[i] = dy[i] if y[i] > 0 else 0 * dy[i]
