"""What the bindings of the recurrent ops share: flat arrays, room to work in, sequences split among threads."""

from __future__ import annotations

import numpy as np

from xpnn.backends.numba.matmul import product
from xpnn.core.contract import floating
from xpnn.core.op import Spec
from xpnn_kernels.numba import gemm, simd
from xpnn_kernels.numba import recurrent as kernels
from xpnn_kernels.numba import threads as pool

WHOLE = np.dtype(np.int64)


def guard(specs, attrs):
    """Every array has elements."""
    return floating(specs, attrs) and all([spec.size for spec in specs])


def sizes(x, u):
    """(N, T, I, H) of arrays or specs."""
    return (*x.shape, u.shape[0])


def flat(*arrays):
    """Each as a vector: kernels compile faster for those."""
    return [array.reshape(-1) for array in arrays]


def lengths_spec(x, more):
    """Room for lengths as int64: nothing where there are none."""
    return Spec((x.shape[0] if more else 0,), WHOLE)


def lengths_in(room, more):
    """The lengths, if any, in this room."""
    if room.size:
        np.copyto(room, more[0], casting="unsafe")
    return room


def inputs_spec(x, u):
    """x, a one and the state of every step, and the last state."""
    N, T, I, H = sizes(x, u)
    return Spec((T + 1, N, I + 1 + H), x.dtype)


def packed_spec(x, u):
    """Room for all weights forward."""
    _, _, I, H = sizes(x, u)
    return Spec((_padded(H, x.dtype) * (I + 1 + H) * (u.shape[1] // H),), x.dtype)


def transposed_spec(w):
    """Room for the weights w of the product backward."""
    return Spec((_padded(w.shape[0], w.dtype) * w.shape[1],), w.dtype)


def _padded(count, dtype):
    lanes = simd.WIDTH // dtype.itemsize
    return -(-count // lanes) * lanes


def run(kernel, arrays, shape, weights):
    """One kernel over all sequences, on one thread or split among all."""
    N, T = shape[:2]
    threads = pool.threads(N * T * weights, gemm.SMALL)
    share = -(-N // (kernels.ROWS * threads)) * kernels.ROWS
    kernel(-(-N // share), *arrays, shape, share)


def weight_gradients(inputs, dz, room, I, dw, db, du):
    """What is wanted of the sum of inputs^T dz over all steps, where the inputs are x (I numbers), a one and h."""
    if any([d is not None for d in (dw, db, du)]):
        K, O = room.shape
        product(inputs[:-1].reshape(-1, K).T, dz.reshape(-1, O), room)
        for d, rows in ((dw, room[:I]), (db, room[I]), (du, room[I + 1 :])):
            if d is not None:
                d[...] = rows
