"""Matrix products and dense layers of every tile, with ragged edges, shared K and all kinds of batch axes."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_cpu import build, conformance
from cuda_cpu.launch import LaunchError, Module
from xpnn.backends.cupy import dense, gemm, matmul, module
from xpnn.backends.cupy.formats import FORMATS
from xpnn.backends.cupy.signature import DTYPES
from xpnn.check import ConformanceError
from xpnn.core.op import Arg, Case, Spec

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))

PRODUCTS = [
    ((1, 1), (1, 1)),
    ((2, 2100), (2100, 3)),
    ((2, 70, 30), (2, 30, 20)),
    ((1, 5), (4, 5, 3)),
    ((2, 3, 4, 5), (5, 6)),
    ((2, 1, 4, 5), (1, 3, 5, 6)),
    ((3, 4, 5), (2, 3, 5, 6)),
    ((2, 3, 4, 5), (2, 1, 5, 6)),
    ((2, 3, 128, 2), (3, 2, 3)),
    ((3, 2, 80, 2), (3, 1, 2, 80)),
    ((12, 3, 2), (90, 12, 2, 3)),
]
LAYERS = [
    ((64, 784), 10, "relu"),
    ((2100, 2), 3, "elu"),
    ((3, 2), 2100, "sigmoid"),
    ((3, 2100), 2, None),
    ((1, 1), 1, "softplus"),
]
WIDE_PRODUCTS = [((70, 130), (130, 150)), ((65, 33), (33, 34)), ((2, 3, 40, 20), (2, 1, 20, 17))]
WIDE_LAYERS = [((70, 130), 150, "relu"), ((65, 33), 34, "gelu"), ((40, 20), 17, "leaky_relu"), ((33, 70), 40, "tanh")]


@pytest.fixture
def few(monkeypatch):
    """Two blocks are enough: large tiles for matrices that are quick to test."""
    dense.plan.cache_clear()
    monkeypatch.setattr(gemm, "ENOUGH", 2)
    yield
    dense.plan.cache_clear()


def product(x, y, dtype):
    conformance.parity(module.folder(), ["matmul"], [dtype], [Case((Arg(x), Arg(y)))])


def layer(x, O, activation, dtype):
    case = Case((Arg(x), Arg((x[-1], O)), Arg((O,))), {"activation": activation})
    conformance.parity(module.folder(), ["dense"], [dtype], [case])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
class TestParity:
    @pytest.mark.parametrize(("x", "y"), PRODUCTS, ids=str)
    def test_products(self, x, y, dtype):
        product(x, y, dtype)

    @pytest.mark.parametrize(("x", "O", "activation"), LAYERS, ids=str)
    def test_layers(self, x, O, activation, dtype):
        layer(x, O, activation, dtype)

    @pytest.mark.parametrize(("x", "y"), WIDE_PRODUCTS, ids=str)
    def test_products_of_large_tiles(self, few, x, y, dtype):
        product(x, y, dtype)

    @pytest.mark.parametrize(("x", "O", "activation"), WIDE_LAYERS, ids=str)
    def test_layers_of_large_tiles(self, few, x, O, activation, dtype):
        layer(x, O, activation, dtype)


@pytest.mark.parametrize(("dtype", "sides"), [(np.dtype(DTYPES[name]), gemm.TILES[name]) for name in module.REAL])
class TestCoverage:
    """Are all ways among the cases above?"""

    def test_every_tile(self, few, dtype, sides):
        products = [p for x, y in WIDE_PRODUCTS for p in matmul.plan(Spec(x, dtype), Spec(y, dtype))]
        layers = [dense.plan(Spec(x, dtype), Spec((x[-1], O), dtype)) for x, O, _ in WIDE_LAYERS]
        assert {p.side for p in products} | {16} == set(sides)
        assert {p.y_side for p in layers} | {16} == {p.side for p in layers} | {16} == set(sides)

    def test_shared_K(self, dtype, sides):
        products = [p for x, y in PRODUCTS for p in matmul.plan(Spec(x, dtype), Spec(y, dtype))]
        assert {(p.parts > 1, p.summed.length > 1) for p in products} == {(a, b) for a in (0, 1) for b in (0, 1)}
        layers = [dense.plan(Spec(x, dtype), Spec((x[-1], O), dtype)) for x, O, _ in LAYERS]
        for parts in ("y_parts", "x_parts", "w_parts"):
            assert {getattr(p, parts) > 1 for p in layers} == {False, True}


@pytest.mark.parametrize(
    ("op", "case"),
    [
        ("matmul", Case((Arg((2, 3, 20, 24)), Arg((2, 1, 24, 36))))),
        ("matmul", Case((Arg((5, 7)), Arg((7, 6))))),  # of such rows every fourth begins at a multiple of 16 bytes
        ("dense", Case((Arg((20, 24)), Arg((24, 36)), Arg((36,))), {"activation": "tanh"})),
    ],
    ids=str,
)
def test_arrays_that_begin_anywhere(cupy, op, case):
    conformance.begins_anywhere(cupy, op, case)


def test_steps_are_those_of_the_kernels():
    name = "depth<{}>".format
    body = f"y[0] = Tile<F, {gemm.SMALL}>::DEPTH;"
    text = f'#include "gemm.cuh"\ntemplate <typename F> __global__ void depth(int* y) {{ {body} }}'
    kernels = Module(text, [name(form) for form in FORMATS], (f"-I{module.folder()}",))
    for form in FORMATS:
        depth = np.zeros(1, np.int32)
        kernels.run(name(form), (1,), (1,), (depth,))
        assert depth == gemm.STEP[np.dtype(DTYPES[form])]


def test_three_kinds_of_batch_axes_are_left_to_the_reference():
    x, y = (Spec(shape, np.dtype("float32")) for shape in ((2, 1, 3, 4, 5), (1, 2, 3, 5, 6)))
    assert not matmul.OVERRIDES["matmul"].guard((x, y), {})


def test_a_layer_of_usual_size_has_blocks_for_every_multiprocessor():
    """The choice at its real threshold, of the MLP's layers."""
    float32 = np.dtype("float32")
    first, last = (dense.plan(Spec((64, I), float32), Spec((I, O), float32)) for I, O in ((784, 300), (300, 10)))
    assert (first.y_side, first.side, last.y_side, last.side) == (16, 32, 16, 16)
    assert {first.y_parts, first.x_parts, first.w_parts, last.y_parts, last.x_parts, last.w_parts} == {1}


# Can it fail? -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("tile.cuh", "room.right[now]);\n    __syncthreads();", "room.right[now]);"),
        ("tile.cuh", "tile.add(room.left[now ^ 1]", "tile.add(room.left[now]"),
        ("tile.cuh", "int s = 1; s < Base::SLICES", "int s = 2; s < Base::SLICES"),
        ("tile.cuh", "held[j + WORD - 1].v[i]", "held[j].v[i]"),
        ("gemm.cuh", "k < K ? count : 0", "k <= K ? count : 0"),
        ("gemm.cuh", "there >= 4 &&", "there >= 3 &&"),
    ],
)
def test_a_wrong_step_is_noticed(broken, file, old, new):
    folder = broken(file, old, new)
    case = Case((Arg((17, 43)), Arg((43, 35))), {"precision": "bf16"})  # of dC B^T both rows end within a pack
    with pytest.raises((ConformanceError, LaunchError)):
        conformance.parity(folder, ["matmul"], ["float32"], [case])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("x.count - place)", "x.count - place + 1)"),
        ("place < x.count ? K : 0", "K"),
    ],
)
def test_rows_and_columns_past_the_end_are_noticed(broken, old, new):
    """What is read there spoils no sum that is wanted."""
    done = conformance.sanitized(broken("gemm.cuh", old, new), "matmul")
    assert "heap-buffer-overflow" in done.stderr
