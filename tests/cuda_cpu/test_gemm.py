"""Matrix products of every tile, ragged edges, shared K and all kinds of batch axes."""

from __future__ import annotations

import numpy as np
import pytest

from cuda_cpu import build, conformance
from xpnn.backends.cupy import gemm, matmul, module
from xpnn.core.op import Arg, Case, Spec

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))

SHAPES = [
    ((1, 1), (1, 1)),
    ((5, 700), (700, 3)),
    ((17, 33), (33, 130)),
    ((150, 40), (40, 600)),
    ((700, 19), (19, 750)),
    ((2, 2100), (2100, 3)),
    ((1, 5), (4, 5, 3)),
    ((2, 70, 600), (2, 600, 3)),
    ((2, 3, 4, 5), (5, 6)),
    ((2, 1, 4, 5), (1, 3, 5, 6)),
    ((3, 4, 5), (2, 3, 5, 6)),
    ((2, 3, 4, 5), (2, 1, 5, 6)),
    ((3, 2, 80, 2), (3, 1, 2, 80)),
]


@pytest.mark.parametrize(("x", "y"), SHAPES, ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(x, y, dtype):
    conformance.parity(module.folder(), ["matmul"], [dtype], [Case((Arg(x), Arg(y)))])


def test_every_tile_and_shared_K_is_among_them():
    for dtype, sides in zip(map(np.dtype, ("float32", "float64")), gemm.TILES, strict=True):
        products = [p for x, y in SHAPES for p in matmul.plan(Spec(x, dtype), Spec(y, dtype))]
        assert {p.side for p in products} == set(sides)
        assert {p.parts > 1 for p in products} == {False, True}
        assert any(p.parts > 1 and p.summed.length > 1 for p in products)


def test_three_kinds_of_batch_axes_are_left_to_the_reference():
    x, y = (Spec(shape, np.dtype("float32")) for shape in ((2, 1, 3, 4, 5), (1, 2, 3, 5, 6)))
    assert matmul.plan(x, y) is None
