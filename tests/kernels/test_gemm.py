"""The matrix product: any sizes and layouts, no byte outside, the same bits for any number of threads."""

from __future__ import annotations

import ctypes
import mmap

import numpy as np
import pytest

from xpnn_kernels.numba import gemm, gemv

SIZES = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 48, 49, 65, 100)
SHAPES = ((64, 784, 300), (784, 64, 300), (64, 300, 10), (64, 10, 300), (1, 1000, 1), (257, 513, 259), (30, 1025, 63))
LAYOUTS = ("C", "T", "row", "any", "page")


@pytest.fixture(autouse=True)
def every_size_is_split(monkeypatch):
    monkeypatch.setattr(gemm, "SMALL", 0)
    monkeypatch.setattr(gemv, "SMALL", 0)


def at_the_end_of_a_page(shape, dtype):
    """An array that ends where memory does: a read past it is a crash, not a guess."""
    size, page = int(np.prod(shape)) * np.dtype(dtype).itemsize, mmap.PAGESIZE
    pages = max(1, -(-size // page))
    memory = mmap.mmap(-1, (pages + 1) * page)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None).mprotect
    assert protect(ctypes.c_void_p(start + pages * page), ctypes.c_size_t(page), 0) == 0
    return np.frombuffer(memory, dtype, int(np.prod(shape)), pages * page - size).reshape(shape)


def draw(rng, shape, dtype, layout):
    """Numbers in this layout, with NaN in the gaps."""
    if layout == "C":
        array = np.empty(shape, dtype)
    elif layout == "T":
        array = np.empty(shape[::-1], dtype).T
    elif layout == "row":
        array = np.full((shape[0], shape[1] + 5), np.nan, dtype)[:, 2 : 2 + shape[1]]
    elif layout == "any":
        array = np.full((2 * shape[0], 3 * shape[1]), np.nan, dtype)[::-2, ::-3]
    else:
        array = at_the_end_of_a_page(shape, dtype)
    array[...] = rng.standard_normal(shape)
    return array


def product(a, b, threads):
    """a @ b into the middle of an array of sevens, which must stay sevens."""
    (M, _), (_, N) = a.shape, b.shape
    around = np.full((M + 2, N + 40), 7, a.dtype)
    gemm.matmul(a, b, around[1:-1, 20 : 20 + N], threads)
    out = around[1:-1, 20 : 20 + N].copy()
    around[1:-1, 20 : 20 + N] = 7
    assert (around == 7).all(), "wrote outside of out"
    return out


def check(rng, shape, dtype, layouts):
    M, K, N = shape
    a, b = draw(rng, (M, K), dtype, layouts[0]), draw(rng, (K, N), dtype, layouts[1])
    outs = [product(a, b, threads) for threads in (1, 2, 3)]
    assert len({out.tobytes() for out in outs}) == 1, "the bits depend on the number of threads"
    wide = np.float64 if dtype == "float32" else np.longdouble
    # A sum of K products makes a random walk of K roundings.
    scale = np.sqrt(K + 1) * np.finfo(dtype).eps * np.sqrt(a.astype(float) ** 2 @ b.astype(float) ** 2)
    assert (abs(outs[0] - a.astype(wide) @ b.astype(wide)) <= 3 * scale).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_random_sizes_and_layouts(dtype):
    rng = np.random.default_rng(0)
    for _ in range(300):
        check(rng, rng.choice(SIZES, 3), dtype, rng.choice(LAYOUTS, 2))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes_of_networks(shape, dtype):
    rng = np.random.default_rng(1)
    for layouts in (("C", "C"), ("T", "C"), ("C", "T"), ("page", "page")):
        check(rng, shape, dtype, layouts)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["C", "T", "page"])
def test_one_row_and_one_column(dtype, layout):
    rng = np.random.default_rng(3)
    for K, N in ((0, 5), (1, 1), (3, 16), (4, 17), (1001, 70), (9, 1000)):
        a, b = draw(rng, (1, K), dtype, "page"), draw(rng, (K, N), dtype, layout)
        want, outs = a @ b, []
        for threads in (1, 2, 3, 8):
            row, column = (at_the_end_of_a_page(shape, dtype) for shape in ((1, N), (N, 1)))
            gemm.matmul(a, b, row, threads)
            gemm.matmul(b.T, a.T, column, threads)
            outs += [row.tobytes(), column.tobytes()]
            assert np.allclose(row, want, rtol=1e-4, atol=1e-4)
        assert len(set(outs)) == 1, "the bits depend on the number of threads"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_what_is_not_finite_goes_where_it_should(bad, where):
    rng = np.random.default_rng(2)
    pair = [draw(rng, (9, 5), "float32", "C"), draw(rng, (5, 50), "float32", "C")]
    pair[where][-1, -1] = bad
    with np.errstate(invalid="ignore"):
        want = pair[0] @ pair[1]
    out = product(*pair, 2)
    assert (np.isnan(out) == np.isnan(want)).all()
    assert (np.isinf(out) == np.isinf(want)).all()


def test_shares_cover_the_output_once():
    for M in (1, 8, 9, 64, 100):
        for N in (1, 16, 17, 300):
            for threads in (1, 2, 3, 5, 16):
                m, n = gemm.share(M, N, threads, 16)
                step, length = (m, M) if m else (n, N)
                assert m * n == 0
                assert step * threads >= length
