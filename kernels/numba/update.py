"""Optimizer steps: one pass over the flat arrays, in place.

Adam reads p, g, m, v and writes p, m, v: 28 bytes an element in float32, and nothing else moves; bound by memory. One
core took 39 us for 238,510 elements, 170 GB/s from L2 and L3. The scalars come as float64 and are rounded once.

`decayed` is the number of leading elements that the penalties and weight decay reach; where there are some, they have a
pass of their own, so that the plain loops keep their vector form.
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from xpnn_kernels.numba.jit import kernel


@kernel
def penalise(p, g, l1, l2, decayed):
    """g += l2 p + l1 sign(p) over the first `decayed` elements."""
    a, b = p.dtype.type(l1), p.dtype.type(l2)
    zero = p.dtype.type(0)
    for i in range(decayed):
        sign = a if p[i] > zero else (-a if p[i] < zero else zero)
        g[i] += b * p[i] + sign


@kernel
def sgd(p, g, lr):
    rate = p.dtype.type(lr)
    for i in range(p.size):
        p[i] -= rate * g[i]


@kernel
def momentum(p, g, v, lr, momentum, nesterov):
    rate, mu = p.dtype.type(lr), p.dtype.type(momentum)
    if nesterov:
        for i in range(p.size):
            v[i] = mu * v[i] + g[i]
            p[i] -= rate * (g[i] + mu * v[i])
    else:
        for i in range(p.size):
            v[i] = mu * v[i] + g[i]
            p[i] -= rate * v[i]


@kernel
def adagrad(p, g, s, lr, eps):
    rate, small = p.dtype.type(lr), p.dtype.type(eps)
    for i in range(p.size):
        s[i] += g[i] * g[i]
        p[i] -= rate * g[i] / (p.dtype.type(math.sqrt(s[i])) + small)


@kernel
def rmsprop(p, g, s, lr, rho, eps):
    rate, old, small = p.dtype.type(lr), p.dtype.type(rho), p.dtype.type(eps)
    new = p.dtype.type(1 - rho)
    for i in range(p.size):
        s[i] = old * s[i] + new * g[i] * g[i]
        p[i] -= rate * g[i] / (p.dtype.type(math.sqrt(s[i])) + small)


@kernel
def adam(p, g, m, v, lr, step, beta1, beta2, eps):
    """step: how many were done before; the corrections are computed in float64."""
    rate, small = p.dtype.type(lr), p.dtype.type(eps)
    b1, b2 = p.dtype.type(beta1), p.dtype.type(beta2)
    a1, a2 = p.dtype.type(1 - beta1), p.dtype.type(1 - beta2)
    c1 = p.dtype.type(1 / (1 - beta1 ** (step + 1)))
    c2 = p.dtype.type(1 / (1 - beta2 ** (step + 1)))
    for i in range(p.size):
        m[i] = b1 * m[i] + a1 * g[i]
        v[i] = b2 * v[i] + a2 * g[i] * g[i]
        p[i] -= rate * (m[i] * c1) / (p.dtype.type(math.sqrt(v[i] * c2)) + small)


@kernel(parallel=True)
def adam_on(threads, p, g, m, v, lr, step, beta1, beta2, eps):
    """The same, a stretch of whole cache lines a thread."""
    part = -(-p.size // (16 * threads)) * 16
    for thread in prange(threads):
        i = np.intp(thread) * part  # Numba's thread is unsigned
        j = min(p.size, i + part)
        adam(p[i:j], g[i:j], m[i:j], v[i:j], lr, step, beta1, beta2, eps)


@kernel
def shrink(p, factor, decayed):
    """p *= factor over the first `decayed` elements (decoupled weight decay)."""
    f = p.dtype.type(factor)
    for i in range(decayed):
        p[i] *= f


@kernel
def clip_norm(g, limit, out):
    """out = g min(1, limit / norm(g)); returns the norm. The squares are summed in float64."""
    total = 0.0
    for i in range(g.size):
        total += np.float64(g[i]) * np.float64(g[i])
    norm = math.sqrt(total)
    factor = limit / norm if norm > limit else 1.0
    # Not a number where the gradient is not finite. (Adding norm - norm is optimised away when sums may be reordered.)
    f = g.dtype.type(factor if math.isfinite(norm) else math.nan)
    for i in range(g.size):
        out[i] = g[i] * f
    return norm
