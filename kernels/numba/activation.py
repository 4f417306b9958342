"""Activations, forward and backward, over flat arrays.

forward reads x and writes y (2 x 4 bytes an element in float32); backward reads the kept array and dy and writes dx
(12 bytes). Below the L2 size both are bound by arithmetic, above it by memory. One function holds all of them, so that
a fused op compiles one kernel and picks by code: the branch is outside of the loops.
"""

from __future__ import annotations

import math

from xpnn_kernels.numba.exp import exp, expm1, tanh
from xpnn_kernels.numba.jit import kernel
from xpnn_kernels.numba.log1p import log1p
from xpnn_kernels.numba.split import on_threads

CODES = {
    name: code
    for code, name in enumerate(
        (None, "relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu", "softplus", "hard_sigmoid")
    )
}
NONE, RELU, SIGMOID, TANH, LEAKY_RELU, ELU, GELU, SILU, SOFTPLUS, HARD_SIGMOID = range(10)

GELU_SCALE = math.sqrt(2 / math.pi)
GELU_CUBIC = 0.044715


@kernel
def sigmoid(x):
    e = exp(-abs(x))
    s = 1 / (1 + e)
    return s if x >= 0 else e * s  # NaN takes the second branch and stays


@kernel
def forward(code, parameter, x, y):
    """y = f(x). x, y (n,), may be one array; parameter: the slope of leaky_relu, the alpha of elu."""
    p = x.dtype.type(parameter)
    one = x.dtype.type(1)
    half = x.dtype.type(0.5)
    zero = x.dtype.type(0)
    n = x.size
    if code == NONE:
        for i in range(n):  # y[:] = x would compile an error message too: 1.2 s
            y[i] = x[i]
    elif code == RELU:
        for i in range(n):
            y[i] = zero if x[i] < zero else x[i]
    elif code == SIGMOID:
        for i in range(n):
            y[i] = sigmoid(x[i])
    elif code == TANH:
        for i in range(n):
            y[i] = tanh(x[i])
    elif code == LEAKY_RELU:
        for i in range(n):
            y[i] = x[i] if x[i] > zero else p * x[i]
    elif code == ELU:
        for i in range(n):
            y[i] = x[i] if x[i] > zero else p * expm1(x[i])
    elif code == GELU:
        scale, cubic = x.dtype.type(GELU_SCALE), x.dtype.type(GELU_CUBIC)
        for i in range(n):
            y[i] = half * x[i] * (one + tanh(scale * (x[i] + cubic * x[i] * x[i] * x[i])))
    elif code == SILU:
        for i in range(n):
            y[i] = x[i] * sigmoid(x[i])
    elif code == SOFTPLUS:
        for i in range(n):
            top = zero if x[i] < zero else x[i]
            y[i] = top + log1p(exp(-abs(x[i])))
    elif code == HARD_SIGMOID:
        sixth = x.dtype.type(1 / 6)
        for i in range(n):
            v = x[i] * sixth + half
            v = zero if v < zero else v
            y[i] = one if v > one else v


@kernel
def backward(code, parameter, kept, dy, dx):
    """dx = dy f'(x). kept (n,) is x for leaky_relu, gelu and silu, y for the others; dy and dx may be one array."""
    p = dy.dtype.type(parameter)
    one = dy.dtype.type(1)
    half = dy.dtype.type(0.5)
    zero = dy.dtype.type(0)
    n = dy.size
    if code == NONE:
        for i in range(n):
            dx[i] = dy[i]
    elif code == RELU:
        for i in range(n):
            dx[i] = dy[i] if kept[i] > zero else zero * dy[i]
    elif code == SIGMOID:
        for i in range(n):
            dx[i] = dy[i] * kept[i] * (one - kept[i])
    elif code == TANH:
        for i in range(n):
            dx[i] = dy[i] * (one - kept[i] * kept[i])
    elif code == LEAKY_RELU:
        for i in range(n):
            dx[i] = dy[i] if kept[i] > zero else p * dy[i]
    elif code == ELU:
        for i in range(n):
            dx[i] = dy[i] if kept[i] > zero else dy[i] * (kept[i] + p)
    elif code == GELU:
        scale, cubic = dy.dtype.type(GELU_SCALE), dy.dtype.type(GELU_CUBIC)
        three, ten = dy.dtype.type(3), dy.dtype.type(10)
        for i in range(n):
            x = kept[i]
            x = ten if x > ten else x  # beyond, the slope is 0 or 1 to the last bit, and x * x * x would overflow
            x = -ten if x < -ten else x
            t = tanh(scale * (x + cubic * x * x * x))
            inner = scale * (one + three * cubic * x * x)
            dx[i] = dy[i] * half * ((one + t) + x * (one - t * t) * inner)
    elif code == SILU:
        for i in range(n):
            s = sigmoid(kept[i])
            dx[i] = dy[i] * s * (one + kept[i] * (one - s))
    elif code == SOFTPLUS:
        for i in range(n):
            dx[i] = dy[i] * -expm1(-kept[i])
    elif code == HARD_SIGMOID:
        sixth = dy.dtype.type(1 / 6)
        for i in range(n):
            inside = kept[i] > zero and kept[i] < one
            dx[i] = dy[i] * sixth if inside else zero * dy[i]


@on_threads
def forward_on(thread, threads, code, parameter, x, y):
    """`forward`, a stretch of whole cache lines a thread."""
    part = -(-x.size // (16 * threads)) * 16
    i = min(x.size, thread * part)
    j = min(x.size, i + part)
    forward(code, parameter, x[i:j], y[i:j])


@on_threads
def backward_on(thread, threads, code, parameter, kept, dy, dx):
    part = -(-dy.size // (16 * threads)) * 16
    i = min(dy.size, thread * part)
    j = min(dy.size, i + part)
    backward(code, parameter, kept[i:j], dy[i:j], dx[i:j])
