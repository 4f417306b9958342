"""Results that are written past the caches are the same as others, and whole."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.core import backend as backends
from xpnn_kernels.numba import columns, simd, stream
from xpnn_kernels.numba.jit import kernel

LEAST = stream.LARGE // 4


@kernel
def double(x, y, past):
    tile = four(x)
    for i in range(0, x.size, simd.span(tile)):
        v = simd.load(tile, x, i, 0, 1, x.size - i)
        stream.store(v + v, y, i, x.size - i, past)
    stream.settle()


@kernel
def large(y):
    return stream.large(y)


four = simd.zeros(1, 4)


def lines(shape, dtype, skip=0):
    """An unset array that begins so many bytes behind the beginning of a line of the cache."""
    nbytes = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.empty(nbytes + 2 * stream.LINE, np.uint8)
    start = -memory.ctypes.data % stream.LINE + skip
    return memory[start : start + nbytes].view(dtype).reshape(shape)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("past", [False, True])
@pytest.mark.parametrize("size", [64, 1000, 1001])
def test_all_is_written_and_nothing_behind(size, past, dtype):
    x, room = np.arange(size, dtype=dtype), lines(size + 64, dtype)
    room[...] = -1
    double(x, room[:size], past)
    np.testing.assert_array_equal(room[:size], 2 * x)
    assert (room[size:] == -1).all()


@pytest.mark.parametrize(
    ("shape", "skip", "answer"),
    [((LEAST // 32, 32), 0, True), ((LEAST // 32 - 1, 32), 0, False), ((LEAST, 24), 0, False), ((LEAST, 32), 4, False)],
)
def test_large_results_that_begin_on_lines(shape, skip, answer):
    assert large(lines(shape, "float32", skip)) is answer


def test_ops_with_results_past_the_caches():
    """The kernels that write so, on arrays of that size, against NumPy's."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 80, 80, 32)).astype("f")
    assert x.nbytes > stream.LARGE

    def run(place):
        found = []
        for op in (
            lambda t: ops.max_pool2d(t, 2),
            lambda t: ops.avg_pool2d(t, 3, stride=1, padding=1),
            nn.LayerNorm(32).to(place),
            nn.BatchNorm(32).to(place),
            nn.GroupNorm(32, 4).to(place),
        ):
            t = xpnn.Parameter(x.copy(), backends.get(place))
            y = op(t)
            (y * y * y).sum().backward()
            found += [y.numpy(), t.grad.numpy()]
        return found

    for got, want in zip(run("numba"), run("numpy"), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4 * abs(want).max())


def test_cross_entropy_with_a_gradient_past_the_caches():
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((1100, 1024)).astype("f"), rng.integers(0, 1024, 1100)

    def run(place):
        t = xpnn.Parameter(x.copy(), backends.get(place))
        ops.cross_entropy(t, xpnn.tensor(labels, backend=place), label_smoothing=0.1).backward()
        return t.grad.numpy()

    assert x.nbytes > stream.LARGE
    np.testing.assert_allclose(run("numba"), run("numpy"), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("C", [16, 24, 64, 80, 208])
def test_columns_are_the_same_either_way(C):
    rng = np.random.default_rng(0)
    R = 70
    x, dy = rng.standard_normal((2, R, C)).astype("f")
    mean, a, b, slope = rng.standard_normal((4, C)).astype("f")
    for past in (False, True):
        y, dx = lines((R, C), "f"), lines((R, C), "f")
        columns.line(x, mean, a, b, 3, R, y, past)
        columns.line_back(x, dy, mean, a, b, slope, 3, R, dx, past)
        np.testing.assert_allclose(y[3:], (a * (x - mean) + b)[3:], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(dx[3:], (a * dy + slope * (x - mean) + b)[3:], rtol=1e-5, atol=1e-5)
