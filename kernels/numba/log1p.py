"""log(1 + u) for 0 <= u <= 1, in a form that LLVM can vectorise; scalar libm takes 14 ns an element.

log(1 + u) = 2 artanh(s) = 2 (s + s^3 / 3 + s^5 / 5 + ...) with s = u / (2 + u), which is at most 1/3: the terms after
s^15 are below 2^-29 of the sum, those after s^35 below 2^-59. Measured against long double over the whole range: within
1.4 * 2^-23 and 1.4 * 2^-52 of the true value, relative. NaN stays NaN.
"""

from __future__ import annotations

import numpy as np
from numba import types
from numba.extending import overload

from xpnn_kernels.numba.jit import kernel


@kernel
def _log1p32(u):
    s = u / (np.float32(2) + u)
    q = s * s
    p = np.float32(0)
    for k in range(15, 1, -2):  # LLVM unrolls it and divides beforehand
        p = q * (p + np.float32(1) / np.float32(k))
    return np.float32(2) * (s + s * p)


@kernel
def _log1p64(u):
    s = u / (2.0 + u)
    q = s * s
    p = 0.0
    for k in range(35, 1, -2):
        p = q * (p + 1.0 / k)
    return 2.0 * (s + s * p)


def log1p(u):
    """log(1 + u) for 0 <= u <= 1: float32 or float64, as u is."""
    raise NotImplementedError("for kernels only")


@overload(log1p)
def _log1p(u):
    return (lambda u: _log1p32(u)) if u == types.float32 else (lambda u: _log1p64(u))
