"""What surrounds the matrix products of a dense layer, a register tile at a time: z (N, O) moves once, not twice.

A tile holds WIDE vectors of a row; of the last only a part may exist. In rows of 300 elements that costs 12 ns a row
for a bias alone or a ReLU against loops that LLVM made vectors of, which took 1.7 s to compile; these take 0.7.
"""

from __future__ import annotations

from xpnn_kernels.numba import simd
from xpnn_kernels.numba import simd_math as _  # noqa: F401 - + of tiles
from xpnn_kernels.numba.activation import NONE, gradient, value, zeros_wide
from xpnn_kernels.numba.jit import kernel


@kernel
def _forward(tile, code, p, z, b, y, kept, n, o, end):
    step, start = simd.span(tile), n * z.shape[1]
    while o < end:
        at, left = start + o, end - o
        v = simd.load(tile, z, at, 0, 1, left)
        if b.size:
            v = v + simd.load(tile, b, o, 0, 1, left)
            if kept:
                simd.store(v, z, at, 0, 1, left)
        simd.store(value(code, v, p), y, at, 0, 1, left)
        o += step


@kernel
def bias_activation(code, parameter, z, b, y, kept):
    """y = f(z + b), and z += b if that is kept. z, y (N, O), may be one array; b (O,), or (0,) for none."""
    wide, p = zeros_wide(z), z.dtype.type(parameter)
    N, O = z.shape
    for n in range(N):
        _forward(wide, code, p, z, b, y, kept, n, 0, O)


@kernel
def _backward(tile, code, p, kept, dy, dz, db, n, o, end):
    step, start = simd.span(tile), n * dy.shape[1]
    while o < end:
        at, left = start + o, end - o
        d = simd.load(tile, dy, at, 0, 1, left)
        if code != NONE:  # else dz is dy
            d = gradient(code, simd.load(tile, kept, at, 0, 1, left), d, p)
            simd.store(d, dz, at, 0, 1, left)
        if db.size:
            simd.store(simd.load(tile, db, o, 0, 1, left) + d, db, o, 0, 1, left)
        o += step


@kernel
def bias_activation_backward(code, parameter, kept, dy, dz, db):
    """dz = dy f'(z); db = sum of dz over the rows. kept: as in `activation.backward`; db (O,), or (0,) for none."""
    wide, p = zeros_wide(dy), dy.dtype.type(parameter)
    N, O = dy.shape
    for o in range(db.size):
        db[o] = 0
    for n in range(N):
        _backward(wide, code, p, kept, dy, dz, db, n, 0, O)
