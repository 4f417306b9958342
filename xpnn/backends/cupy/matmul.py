"""Matrix products on CUDA: cuBLASLt for large ones where it is at hand, our tiles for all others."""

from __future__ import annotations

from functools import cache
from itertools import zip_longest
from typing import Any, NamedTuple

import numpy as np

from xpnn.backends.cupy import gemm
from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

SOURCE = Source("matmul", {"product": gemm.KERNELS, "total": (REAL,)})


class Axis(NamedTuple):
    """A batch axis: its length, and how far apart in each operand the products are; 0: the same for all."""

    length: int
    a: int
    b: int


NONE = Axis(1, 0, 0)


class Product(NamedTuple):
    """out (outer, inner, M, N) = sum over `summed` of A (M, K) B (K, N), all contiguous in out."""

    M: int
    N: int
    K: int
    a: tuple[int, int]
    """How far apart the rows of A are, and its columns; one of them is 1."""
    b: tuple[int, int]
    """How far apart the columns of B are, and its rows."""
    dtype: np.dtype
    outer: Axis = NONE
    inner: Axis = NONE
    summed: Axis = NONE

    @property
    def count(self) -> int:
        return self.outer.length * self.inner.length

    @property
    def side(self) -> int:
        return gemm.choose(self.dtype, [(self.M, self.N, self.count)])

    @property
    def parts(self) -> int:
        there = self.count * gemm.tiles(self.M, self.N, self.side)
        return gemm.parts(self.dtype, self.side, there, self.K, self.summed.length)

    @property
    def scratch(self) -> Spec:
        """The sums of the parts, where there are several."""
        return Spec((self.count * self.parts * self.M * self.N if self.parts > 1 else 0,), self.dtype)

    def calls(self, a: Any, b: Any, out: Any, work: Any) -> list[Any]:
        M, N, parts, side = self.M, self.N, self.parts, self.side
        sums = out if parts == 1 else work
        tiles = gemm.tiles(M, N, side) * parts
        axes = self.inner.length, self.outer.a, self.inner.a, self.outer.b, self.inner.b
        args = (a, *self.a, b, *self.b, sums, M, N, self.K, *axes, *self.summed, parts, tiles)
        calls = [SOURCE.kernel("product", self.dtype, side).call((self.count * tiles,), (256,), args)]
        if parts > 1:
            args = (work, out, parts, M * N, out.size)
            calls.append(SOURCE.kernel("total", self.dtype).call(blocks(out.size), (256,), args))
        return calls


def _axes(x: tuple[int, ...], y: tuple[int, ...]) -> list[list[Any]]:
    """[length, is it x's, is it y's] of the leading axes, neighbours of one kind as one, the last one first."""
    found: list[list[Any]] = []
    for n, m in zip_longest(reversed(x), reversed(y), fillvalue=1):
        kind = [n > 1, m > 1]
        if found and found[-1][1:] == kind:
            found[-1][0] *= max(n, m)
        elif max(n, m) > 1:
            found.append([max(n, m), *kind])
    return found


@cache
def plan(x: Spec, y: Spec) -> tuple[Product, Product, Product] | None:
    """z = x y, dx = dz y^T and dy = x^T dz; None where broadcasting changes more than once along the leading axes."""
    (M, K), N = x.shape[-2:], y.shape[-1]
    axes = _axes(x.shape[:-2], y.shape[:-2])
    if len(axes) == 1 and not axes[0][2]:  # one y for all: more rows
        M, axes = M * axes[0][0], []
    if len(axes) > 2:
        return None
    steps, apart = [M * K, K * N, M * N], []
    for n, *kind in axes:
        theirs = (*kind, True)
        apart.append([step if there else 0 for step, there in zip(steps, theirs, strict=True)])
        steps = [step * n if there else step for step, there in zip(steps, theirs, strict=True)]

    def product(sizes: Any, strides: Any, a: int, b: int, out: int) -> Product:
        listed = [(Axis(n, d[a], d[b]), d[out]) for (n, *_), d in zip(axes, apart, strict=True)]
        kept, summed = [axis for axis, step in listed if step], [axis for axis, step in listed if not step]
        inner, outer = (*kept, NONE, NONE)[:2]
        return Product(*sizes, *strides, x.dtype, outer, inner, (*summed, NONE)[0])

    return (
        product((M, N, K), ((K, 1), (1, N)), 0, 1, 2),
        product((M, K, N), ((N, 1), (N, 1)), 2, 1, 0),
        product((K, N, M), ((1, K), (1, N)), 0, 2, 1),
    )


def _guard(specs, attrs):
    """No empty matrices: they are the reference's, as are three kinds of batch axes."""
    return floating(specs, attrs) and all(spec.size for spec in specs[:2]) and plan(*specs) is not None


def _work(phase, x, y):
    if not _guard((x, y), {}):
        return ()
    return [product.scratch for product in plan(x, y)][slice(1) if phase == "forward" else slice(1, 3)]


def _specs(x, y):
    return Spec(x.shape, x.dtype), Spec(y.shape, y.dtype)


def _forward(outs, saved, x, y, *, work):
    return made(plan(*_specs(x, y))[0].calls(x, y, outs[0], *work))


def _backward(dins, douts, kept, *, work):
    (x, y), (dz,), (dx, dy) = kept.inputs, douts, dins
    _, by_x, by_y = plan(*kept.specs)
    calls = [] if dx is None else by_x.calls(dz, y, dx, work[0])
    return made(calls if dy is None else calls + by_y.calls(x, dz, dy, work[1]))


OVERRIDES = {"matmul": Override(_forward, _backward, _guard, work=_work)}
