"""Convolution kernels: odd sizes against float64, one thread and two, the same bits twice, NaN, masks of their own."""

import ctypes
import math
import mmap
import sys

import numpy as np
import pytest

import xpnn
from xpnn import check, ops
from xpnn.backends.numba import conv_direct
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY, Arg, Case, Kept, Spec
from xpnn_kernels.numba import conv as kernels

CONV2D = REGISTRY["conv2d"]
PLACE = backends.get("numba")


@pytest.fixture
def threads():
    before = xpnn.get_num_threads()
    yield xpnn.set_num_threads
    xpnn.set_num_threads(before)


def case(x, w, **attrs):
    settings = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, "activation": None}
    return Case((Arg(x), Arg(w), Arg(w[-1:])), settings | {"precision": "exact"} | attrs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_odd_sizes(dtype):
    rng = np.random.default_rng(0)
    for _ in range(25):
        groups, I, O = rng.choice([1, 1, 2, 5]), rng.integers(1, 20), rng.choice([1, 3, 16, 17, 31, 33, 49, 65, 80])
        (KH, KW), (SH, SW), (DH, DW) = rng.integers(1, 5, 2), rng.integers(1, 4, 2), rng.integers(1, 3, 2)
        N, H, W = rng.integers(1, 4), rng.integers(9, 20), rng.integers(9, 20)
        groups, I, O = int(groups), int(I), int(O)
        shapes = (int(N), int(H), int(W), groups * I), (int(KH), int(KW), I, groups * O)
        padding = tuple((int(a), int(b)) for a, b in rng.integers(0, 4, (2, 2)))
        attrs = {"stride": (int(SH), int(SW)), "dilation": (int(DH), int(DW)), "groups": groups, "padding": padding}
        list(check.parity(CONV2D, case(*shapes, **attrs, activation=rng.choice([None, "relu", "tanh"])), PLACE, dtype))


def gradients(x, w, b, dy, **settings):
    tensors = [xpnn.Parameter(a.copy(), PLACE) for a in (x, w, b)]
    y = ops.conv2d(*tensors, **settings)
    (y * xpnn.tensor(dy)).sum().backward()
    return [y.numpy(), *(t.grad.numpy() for t in tensors)]


def draw(x, w, y):
    rng = np.random.default_rng(1)
    return [rng.normal(size=shape).astype("f") for shape in (x, w, w[-1:], y)]


SETTINGS = {
    "direct": ((3, 20, 18, 5), (3, 3, 5, 33), (3, 20, 18, 33), {}),
    "mirrored": ((3, 20, 18, 17), (3, 3, 17, 7), (3, 20, 18, 7), {}),
    "bands": ((3, 30, 70, 3), (3, 2, 3, 33), (3, 30, 70, 33), {}),
    "half a vector": ((3, 30, 30, 6), (5, 5, 6, 6), (3, 30, 30, 6), {}),
    "nine elements": ((3, 30, 30, 1), (3, 3, 1, 32), (3, 30, 30, 32), {}),
    "strided along W": ((3, 20, 18, 5), (3, 4, 5, 13), (3, 20, 9, 13), {"stride": (1, 2), "dilation": (2, 1)}),
    "few in groups": ((3, 20, 18, 9), (3, 3, 3, 21), (3, 20, 18, 21), {"groups": 3, "dilation": (1, 2)}),
    "strided": ((3, 20, 18, 5), (3, 3, 5, 33), (3, 10, 9, 33), {"stride": 2}),
    "depthwise": ((3, 20, 18, 21), (3, 3, 1, 21), (3, 20, 18, 21), {"groups": 21}),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_the_same_bits_twice_and_nearly_for_any_number_of_threads(name, threads):
    *shapes, settings = SETTINGS[name]
    arrays = draw(*shapes)
    with xpnn.use("numba"), xpnn.precision("exact"):
        found = []
        for n in (1, min(2, xpnn.get_num_threads())):
            threads(n)
            found.append(gradients(*arrays, padding="same", activation="relu", **settings))
            again = gradients(*arrays, padding="same", activation="relu", **settings)
            assert all(a.tobytes() == b.tobytes() for a, b in zip(found[-1], again, strict=True))
    for one, two in zip(*found, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-5 * abs(one).max())


@pytest.mark.parametrize("name", SETTINGS)
def test_masks_are_those_of_the_kernel(name):
    """An output that rounds to another side of 0 than in float64 must not decide what the gradient is."""
    *shapes, settings = SETTINGS[name]
    x, w, b, dy = draw(*shapes)
    with xpnn.use("numba"), xpnn.precision("exact"):
        y, *grads = gradients(x, w, b, dy, padding="same", activation="relu", **settings)
        _, *linear = gradients(x, w, b, dy * (y > 0), padding="same", **settings)
    for masked, grad in zip(linear, grads, strict=True):
        np.testing.assert_allclose(grad, masked, rtol=1e-5, atol=1e-5 * abs(masked).max())


@pytest.mark.parametrize("name", SETTINGS)
def test_nan_stays(name):
    *shapes, settings = SETTINGS[name]
    x, w, b, dy = draw(*shapes)
    x[1, 7, 8, -1] = np.nan
    with xpnn.use("numba"), xpnn.precision("exact"):
        y, _, dw, _ = gradients(x, w, b, dy, padding="same", activation="relu", **settings)
        expected = ops.conv2d(xpnn.tensor(x), xpnn.tensor(w), xpnn.tensor(b), padding="same", **settings).numpy()
    assert np.isnan(y).any()
    assert (np.isnan(y) == np.isnan(expected)).all()
    assert np.isnan(dw).any()
    assert not np.isnan(y[[0, 2]]).any()


@pytest.mark.parametrize("sizes", [(1, 1, 512, 1, 0), (7, 3, 64, 1, 1), (4, 3, 256, 2, 1), (2, 1, 64, 1, 0)])
def test_tiles_read_no_further_than_the_band(sizes):
    """Behind the last pixel their tables name the last again."""
    side, window, C, stride, padding = sizes
    x, w = Spec((1, side, side, C), np.dtype("float32")), Spec((window, window, C, 16), np.dtype("float32"))
    attrs = {"stride": (stride,) * 2, "padding": ((padding,) * 2,) * 2, "dilation": (1, 1), "groups": 1}
    plan = conv_direct.plan(x.dtype, conv_direct.shape_of(x, w, **attrs))
    place, taps = (np.empty(spec.shape, spec.dtype) for spec in conv_direct.table_specs(plan))
    kernels.tables(plan.shape, place, taps)
    assert place.max() + taps.max() < plan.band()


def before_a_wall(shape):
    """Ones, and behind them a page that may not be touched."""
    size = math.prod(shape)
    nbytes = -(-size * 4 // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = np.frombuffer(mmap.mmap(-1, nbytes + mmap.PAGESIZE), np.float32)
    wall = ctypes.c_void_p(memory[nbytes // 4 :].ctypes.data)
    assert ctypes.CDLL(None).mprotect(wall, mmap.PAGESIZE, 0) == 0
    array = memory[nbytes // 4 - size : nbytes // 4].reshape(shape)
    array[...] = 1
    return array


def direct(x, w, b, dy):
    """y and the gradients of the direct kernels, each array where it is."""
    attrs = {"stride": (1, 1), "padding": ((0, 0), (0, 0)), "dilation": (1, 1), "groups": 1, "activation": None}
    specs = [Spec(a.shape, a.dtype) for a in (x, w, b)]
    there, back = (
        [np.empty(spec.shape, spec.dtype) for spec in conv_direct.work(phase, *specs, **attrs)]
        for phase in ("forward", "backward")
    )
    y, dins = np.empty_like(dy), [np.empty_like(a) for a in (x, w, b)]
    conv_direct.forward((y,), (), x, w, b, work=there, **attrs)
    conv_direct.backward(dins, (dy,), Kept((x, w, b), (y,), (), tuple(specs)), work=back, **attrs)
    return y, *dins


@pytest.mark.skipif(sys.platform == "win32", reason="protects a page of memory as POSIX does")
@pytest.mark.parametrize("O", [6, 32])
def test_nothing_is_read_behind_the_gradient(O):
    """It is not copied where tiles end with its rows."""
    x, w, b = (np.ones(shape, np.float32) for shape in ((1, 5, 5, 2), (3, 3, 2, O), (O,)))
    _, _, dw, db = direct(x, w, b, before_a_wall((1, 3, 3, O)))
    np.testing.assert_array_equal(dw, np.full_like(w, 9))
    np.testing.assert_array_equal(db, np.full_like(b, 9))


@pytest.mark.skipif(sys.platform == "win32", reason="protects a page of memory as POSIX does")
@pytest.mark.parametrize(("C", "O"), [(1024, 16), (16, 1024)])
def test_nothing_is_read_behind_rows_that_are_not_copied(C, O):
    """Of the last band, which has fewer rows than the others and is no whole number of tiles."""
    w, b, images = np.ones((1, 1, C, O), np.float32), np.ones(O, np.float32), (2, 5, 8)
    y, dx, dw, db = direct(before_a_wall((*images, C)), w, b, before_a_wall((*images, O)))
    for found, expected in ((y, C + 1), (dx, O), (dw, 80), (db, 80)):
        np.testing.assert_array_equal(found, np.full_like(found, expected))
