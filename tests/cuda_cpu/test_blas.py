"""Products by cuBLASLt, on a stand-in that computes from what it was told: a wrong layout gives wrong numbers."""

from __future__ import annotations

import types
from unittest import mock

import numpy as np
import pytest

import xpnn
from cuda_cpu import build, fake_cublaslt
from xpnn import check
from xpnn.backends.cupy import blas, dense, gemm
from xpnn.core import backend as backends
from xpnn.core.contract import made
from xpnn.core.op import REGISTRY, Arg, Case
from xpnn.errors import BackendError, CaptureError

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))

PRODUCTS = [((3, 4), (4, 5)), ((1, 6), (6, 1)), ((5, 1), (1, 7)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5))]
BATCHES = [((3, 4), (2, 4, 5)), ((2, 1, 3, 4), (3, 4, 2))]  # gradients of shared operands are sums, which tiles make
LAYERS = [(True, None), (True, "relu"), (True, "gelu"), (False, "tanh"), (False, None)]


@pytest.fixture
def lt(cupy):
    """The library, there for products of any size."""
    fake = fake_cublaslt.Lt(cupy.cuda)
    found = blas.Library(fake, fake_cublaslt.ComputeType, fake_cublaslt.CudaDataType)
    with mock.patch.multiple(blas, LARGE=1, library=lambda device: found):
        yield fake


def parity(op, dtype, *shapes, **attrs):
    check.parity(REGISTRY[op], Case(tuple(map(Arg, shapes)), attrs), backends.get("cuda:1"), dtype)


@pytest.mark.parametrize(("x", "y"), PRODUCTS, ids=str)
def test_products(lt, cupy, x, y):
    parity("matmul", "float32", x, y)
    assert set(lt.made) == {"DEFAULT"}
    assert not cupy.cuda.RawModule.made


@pytest.mark.parametrize(("x", "y"), BATCHES, ids=str)
def test_products_with_shared_operands(lt, x, y):
    parity("matmul", "float32", x, y)


@pytest.mark.parametrize(("bias", "activation"), LAYERS)
def test_layers(lt, bias, activation):
    parity("dense", "float32", (4, 7), (7, 5), *[(5,)] * bias, activation=activation)
    assert set(lt.made) == ({"BIAS", "BGRADA", "DEFAULT"} if bias else {"DEFAULT"})


@pytest.mark.parametrize(("precision", "name"), [("exact", ""), ("tf32", "TF32"), ("bf16", "16BF"), ("fp16", "16F")])
def test_the_library_is_told_the_precision(lt, precision, name):
    wanted = f"COMPUTE_32F_FAST_{name}" if name else "COMPUTE_32F"
    parity("dense", "float32", (4, 7), (7, 5), (5,), activation="tanh", precision=precision)
    assert set(lt.computed) == {wanted}
    lt.computed.clear()
    parity("matmul", "float32", (4, 7), (7, 5), precision=precision)
    assert set(lt.computed) == {wanted}


def test_float64_is_left_to_the_tiles(lt):
    parity("matmul", "float64", (3, 4), (4, 5))
    assert not lt.made


def test_small_products_are_left_to_the_tiles(lt):
    with mock.patch.object(blas, "LARGE", 3 * 4 * 5 + 1):
        parity("matmul", "float32", (3, 4), (4, 5))
    assert not lt.made


def test_without_the_library_all_are(cupy):
    blas.library.cache_clear()
    try:
        with mock.patch.object(blas, "LARGE", 1), mock.patch.dict("sys.modules", {"nvmath": None}):
            parity("matmul", "float32", (3, 4), (4, 5))
            assert blas.library(1) is None
    finally:
        blas.library.cache_clear()


@pytest.mark.parametrize(
    "broken",
    [
        {"nvmath": types.ModuleType("nvmath"), "nvmath.bindings.cublas": None},
        {name: types.ModuleType(name) for name in ("nvmath", "nvmath.bindings.cublas", "nvmath.bindings.cublasLt")},
    ],
    ids=["a part is missing", "another version"],
)
def test_a_library_that_is_broken_is_told_of(cupy, broken):
    blas.library.cache_clear()
    try:
        with mock.patch.dict("sys.modules", broken):
            with pytest.warns(RuntimeWarning, match="nvmath-python is installed and cannot be used .*nvmath") as told:
                assert blas.library(1) is None
            assert blas.library(1) is None
        assert len(told) == 1
    finally:
        blas.library.cache_clear()


def test_a_product_that_the_library_refuses_is_named(lt, cupy):
    lt.matmul_algo_get_heuristic = mock.Mock(side_effect=lt.cuBLASLtError("NOT_SUPPORTED"))
    with cupy.cuda.Device(1), pytest.raises(BackendError, match=r"no algorithm for 3 x 4 times 4 x 5 .*NOT_SUPPORTED"):
        blas.Call(*product_of(cupy))()
    assert not [thing for thing in lt._things.values() if thing.kind == "matmul_preference"]


def product_of(cupy, M=3, K=4, N=5, start=0):
    a, b, out = (cupy.ones(n + start, np.float32)[start:] for n in (M * K, K * N, M * N))
    return gemm.Product(M, N, K, (K, 1), (1, N), np.dtype("float32")), "exact", a, b, out


def test_an_algorithm_is_asked_for_once_for_each_kind(lt, cupy):
    with cupy.cuda.Device(1):
        for _ in range(3):
            blas.Call(*product_of(cupy))()
        assert (lt.asked, len(lt.made)) == (1, 3)
        blas.Call(*product_of(cupy, M=2))()
        assert lt.asked == 2


def test_addresses_are_as_aligned_as_promised(lt, cupy):
    """Views into an arena may begin anywhere."""
    with cupy.cuda.Device(1):
        for start in (0, 1, 2, 3):
            *product, out = product_of(cupy, start=start)
            blas.Call(*product, out)()
            assert (out.get() == 4).all()


def test_a_capture_meets_only_what_was_made_before(lt, cupy):
    with cupy.cuda.Device(1), mock.patch.object(cupy.cuda.streams.Null, "capturing", True):
        with pytest.raises(CaptureError, match="new while a stream is captured"):
            blas.Call(*product_of(cupy))()
        with mock.patch.object(cupy.cuda.streams.Null, "capturing", False):
            known = product_of(cupy)
            blas.Call(*known)()
        blas.Call(*known)()
    assert len(lt.made) == 2


def test_all_streams_have_one_workspace(lt, cupy):
    """Streams come and go, one with every capture: what is kept of them must not grow."""
    with cupy.cuda.Device(1):
        product, of_all = product_of(cupy), blas.library(1)
        blas.Call(*product)()
        first = of_all.workspace
        with mock.patch.object(cupy.cuda.streams.Null, "ptr", 7):
            blas.Call(*product)()
    assert of_all.workspace is first
    assert len(lt.made) == 2


def test_a_captured_product_has_its_workspace_already(lt, cupy):
    """What is allocated under capture is of the graph, and ends with it."""
    w, b = (xpnn.tensor(np.ones(shape, "f4"), backend="cuda:1") for shape in ((4, 4), (4,)))
    step = xpnn.capture(lambda x: xpnn.ops.dense(xpnn.ops.dense(x, w, b), w, 2.0 * b))
    for i in range(4):
        np.testing.assert_array_equal(step(xpnn.tensor(np.full((4, 4), i, "f4"), backend="cuda:1")).numpy(), 16 * i + 6)
    (graph,) = cupy.cuda.streams.graphs
    assert (graph.launches, lt.made) == (2, ["BIAS"] * 8)


@pytest.mark.parametrize(
    "change",
    [
        lambda matrix: matrix._replace(leading=matrix.leading + 1),
        lambda matrix: matrix._replace(transposed=not matrix.transposed),
        lambda matrix: matrix._replace(rows=matrix.columns, columns=matrix.rows),
        lambda matrix: matrix._replace(rows=matrix.columns, columns=matrix.rows, transposed=not matrix.transposed),
    ],
)
def test_a_wrong_layout_is_noticed(lt, change):
    right = blas._matrix
    with (
        mock.patch.object(blas, "_matrix", lambda *args: change(right(*args))),
        pytest.raises((check.ConformanceError, fake_cublaslt.Refused, BackendError)),
    ):
        parity("matmul", "float32", (3, 4), (4, 5))


def test_relu_by_the_library_would_lose_nan(lt):
    """Why it is not asked for; the day that this is no longer so, it is one launch less."""

    def fused(outs, saved, x, w, b, *, activation, precision="fast", work):
        return made([blas.Call(dense.plan(*dense._specs(x, w)).y, precision, x, w, outs[0], b, "RELU_BIAS")])

    binding = dense.OVERRIDES["dense"]._replace(forward=fused)
    with mock.patch.dict(dense.OVERRIDES, dense=binding), pytest.raises(check.ConformanceError, match="a NaN .*lost"):
        parity("dense", "float32", (4, 7), (7, 5), (5,), activation="relu")
    assert "RELU_BIAS" in lt.made


@pytest.mark.parametrize("wrong", ["DEFAULT", "BGRADA"])
def test_a_wrong_epilogue_is_noticed(lt, wrong):
    class Wrong(blas.Call):
        def __init__(self, *args):
            super().__init__(*args)
            self.wanted = self.wanted._replace(epilogue=wrong)

    with mock.patch.object(dense.blas, "Call", Wrong), pytest.raises(check.ConformanceError):
        parity("dense", "float32", (4, 7), (7, 5), (5,), activation=None)
