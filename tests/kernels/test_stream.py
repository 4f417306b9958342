"""Results that are written past the caches are the same as others, and whole."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.core import backend as backends
from xpnn_kernels.numba import cache, columns, simd, stream
from xpnn_kernels.numba.jit import kernel

LEAST = cache.last() // cache.SHARE


@kernel
def double(x, y, past):
    tile = four(x)
    for i in range(0, x.size, simd.span(tile)):
        v = simd.load(tile, x, i, 0, 1, x.size - i)
        stream.store(v + v, y, i, x.size - i, past)
    stream.settle()


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
    ("shape", "skip", "touched", "answer"),
    [
        ((4, 32), 0, LEAST + 1, True),
        ((4, 32), 0, LEAST, False),
        ((4, 24), 0, LEAST + 1, False),  # rows that begin in the middle of a line
        ((4, 32), 4, LEAST + 1, False),
    ],
)
def test_past_a_cache_that_strangers_use(shape, skip, touched, answer, monkeypatch):
    monkeypatch.setattr(cache, "usable", lambda: cache.last() // cache.SHARE)
    assert cache.past(lines(shape, "float32", skip), touched) is answer


def test_a_cache_of_our_own_is_used(monkeypatch):
    monkeypatch.setattr(cache, "usable", cache.last)
    y = lines((4, 32), "float32")
    assert not cache.past(y, cache.last())
    assert cache.past(y, cache.last() + 1)


def test_the_cache_is_tried_once_and_only_for_what_is_large(monkeypatch):
    tried = []
    monkeypatch.setattr(cache, "copy", lambda *args: tried.append(args[-1]))
    cache.usable.cache_clear()
    try:
        y = lines((4, 32), "float32")
        cache.past(y, LEAST)
        assert not tried
        cache.past(y, LEAST + 1)
        once = len(tried)
        cache.past(y, LEAST + 1)
        assert len(tried) == once == 2 * tried.count(True) > 0
        assert cache.usable() in (cache.last() // 4 * 3, LEAST)
    finally:
        cache.usable.cache_clear()


@pytest.fixture
def tiny(monkeypatch):
    """A machine without a cache: everything that begins on a line is written past it, and something does."""
    monkeypatch.setattr(cache, "last", lambda: 0)
    monkeypatch.setattr(cache, "usable", lambda: 0)
    answers = []

    def noted(*args):
        answers.append(past(*args))
        return answers[-1]

    past = cache.past
    monkeypatch.setattr(cache, "past", noted)
    yield
    assert any(answers)


def test_ops_with_results_past_the_caches(tiny):
    """The kernels that write so, against NumPy's."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((8, 80, 80, 32)).astype("f")

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


def test_cross_entropy_with_a_gradient_past_the_caches(tiny):
    rng = np.random.default_rng(0)
    x, labels = rng.standard_normal((1100, 1024)).astype("f"), rng.integers(0, 1024, 1100)

    def run(place):
        t = xpnn.Parameter(x.copy(), backends.get(place))
        ops.cross_entropy(t, xpnn.tensor(labels, backend=place), label_smoothing=0.1).backward()
        return t.grad.numpy()

    np.testing.assert_allclose(run("numba"), run("numpy"), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize("C", [16, 48, 64, 80, 208])
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
