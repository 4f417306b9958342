"""Winograd convolution: odd sizes and paddings, threads, the same bits twice, NaN, bounds of the error, who uses it."""

import numpy as np
import pytest

import xpnn
from xpnn import check, ops
from xpnn.backends.numba import conv, conv_winograd
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY, Arg, Case, Spec
from xpnn_kernels.numba import winograd_tile

CONV2D = REGISTRY["conv2d"]
PLACE = backends.get("numba")
ATTRS = {"stride": (1, 1), "dilation": (1, 1), "groups": 1, "precision": "fast", "activation": None}


@pytest.fixture
def threads():
    before = xpnn.get_num_threads()
    yield xpnn.set_num_threads
    xpnn.set_num_threads(before)


@pytest.fixture
def everywhere(monkeypatch):
    """Winograd for the smallest images and channels too."""
    monkeypatch.setattr(conv, "ALGORITHMS", (conv_winograd.WINOGRAD,))
    monkeypatch.setattr(conv_winograd, "FEWEST_CHANNELS", 1)
    monkeypatch.setattr(conv_winograd, "FEWEST_TILES", 1)


def convolve(x, w, b, dy):
    """y, dx, dw, db on Numba, with padding 1."""
    with xpnn.use("numba"):
        tensors = [xpnn.Parameter(a.copy(), PLACE) for a in (x, w, b)]
        y = ops.conv2d(*tensors, padding=1)
        (y * xpnn.tensor(dy)).sum().backward()
        return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def sums(x, w, b, dy):
    """The same in float64, with padding 1."""
    x, w, b, dy = (a.astype(np.float64) for a in (x, w, b, dy))
    _, H, W, _ = x.shape
    wide = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    y, dwide, dw = b + 0 * dy, 0 * wide, 0 * w
    for i in range(3):
        for j in range(3):
            seen = wide[:, i : i + H, j : j + W]
            y += seen @ w[i, j]
            dwide[:, i : i + H, j : j + W] += dy @ w[i, j].T
            dw[i, j] = np.tensordot(seen, dy, ((0, 1, 2), (0, 1, 2)))
    return y, dwide[:, 1:-1, 1:-1], dw, dy.sum((0, 1, 2))


def sample(N, H, W, C, O):
    rng = np.random.default_rng(3)
    shapes = (N, H, W, C), (3, 3, C, O), (O,), (N, H, W, O)
    return [rng.standard_normal(shape).astype(np.float32) for shape in shapes]


def test_the_transforms_are_a_correlation():
    A, Bt, G = winograd_tile.A, winograd_tile.Bt, winograd_tile.G
    rng = np.random.default_rng(0)
    d, g = rng.standard_normal((6, 6)), rng.standard_normal((3, 3))
    direct = [[(d[i : i + 3, j : j + 3] * g).sum() for j in range(4)] for i in range(4)]
    np.testing.assert_allclose(A.T @ ((G @ g @ G.T) * (Bt @ d @ Bt.T)) @ A, direct, atol=1e-13)
    for matrix in (A, Bt):
        np.testing.assert_array_equal(matrix, matrix.astype(np.float32))


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_sizes_and_paddings(everywhere, threads, dtype, count):
    threads(count)
    rng = np.random.default_rng(count)
    for _ in range(10):
        C, O = int(rng.integers(1, 40)), int(rng.choice([1, 3, 16, 17, 33, 65, 80]))
        N, H, W = (int(n) for n in (rng.integers(1, 4), rng.integers(3, 15), rng.integers(3, 15)))
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 5, (2, 2)))
        args = Arg((N, H, W, C)), Arg((3, 3, C, O)), Arg((O,))
        attrs = ATTRS | {"padding": padding, "activation": rng.choice([None, "relu", "silu"])}
        list(check.parity(CONV2D, Case(args, attrs), PLACE, dtype))


def test_errors_are_bounded():
    arrays = sample(2, 56, 56, 64, 64)
    for got, exact, bound in zip(convolve(*arrays), sums(*arrays), (3e-6, 3e-6, 1.5e-5, 1e-6), strict=True):
        assert abs(got - exact).max() <= bound * abs(exact).max()


def test_the_same_bits_twice(threads):
    for count in (1, 2):
        threads(count)
        arrays = sample(3, 17, 18, 24, 40)
        for first, second in zip(convolve(*arrays), convolve(*arrays), strict=True):
            np.testing.assert_array_equal(first, second)


def test_nan_in_is_nan_out():
    x, w, b, dy = sample(4, 12, 12, 16, 16)
    x[1, 5, 7, 3] = np.nan
    y, _, dw, _ = convolve(x, w, b, dy)
    assert np.isnan(y[1, 4:7, 6:9]).all()
    assert np.isfinite(y[[0, 2, 3]]).all()
    assert np.isnan(dw[:, :, 3]).all()
    x[1, 5, 7, 3], dy[2, 0, 0, 1] = 0, np.nan
    _, dx, dw, db = convolve(x, w, b, dy)
    assert np.isnan(dx[2, :2, :2]).all()
    assert np.isnan(dw[1:, 1:, :, 1]).all()
    assert np.isnan(db[1])


def test_who_uses_it():
    def name(x=(4, 12, 12, 16), w=(3, 3, 16, 16), **attrs):
        specs = tuple(Spec(shape, np.dtype(np.float32)) for shape in (x, w))
        return conv.algorithm(specs, ATTRS | {"padding": ((1, 1), (1, 1))} | attrs).name

    assert name() == "winograd"
    for attrs in ({"precision": "exact"}, {"stride": (2, 1)}, {"dilation": (2, 2)}, {"w": (5, 3, 16, 16)}):
        assert name(**attrs) != "winograd"
    assert name((4, 12, 12, 3), (3, 3, 3, 64)) == "direct"  # few channels
    assert name((1, 8, 8, 16)) == "direct"  # few tiles
