"""Matrix products on CUDA: cuBLASLt for large ones where it is at hand, our tiles for all others."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from itertools import zip_longest
from typing import Any

from xpnn.backends.cupy import blas, gemm
from xpnn.backends.cupy.formats import format_of
from xpnn.backends.cupy.gemm import NONE, Axis, Product
from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, floating, made
from xpnn.core.op import Spec

SOURCE = Source("matmul", {"product": gemm.KERNELS, "total": (REAL,)})


def calls(product: Product, precision: str, a: Any, b: Any, out: Any, work: Any = None) -> list[Callable[[], None]]:
    """The launches of one product. work: an array as `product.scratch` says, where it says one."""
    if blas.serves(product):
        return [blas.Call(product, precision, a, b, out)]
    M, N, K, parts = *product[:3], product.parts
    form, side = format_of(product.dtype, precision), product.side
    sums = out if parts == 1 else work
    tiles = gemm.tiles(M, N, side) * parts
    outer, inner = product.outer, product.inner
    axes = inner.length, outer.a, inner.a, outer.b, inner.b
    args = (a, *product.a, b, *product.b, sums, M, N, K, *axes, *product.summed, parts, tiles)
    launches = [SOURCE.kernel("product", form, side).call((product.batch * tiles,), (256,), args)]
    if parts > 1:
        total = SOURCE.kernel("total", product.dtype)
        launches.append(total.call(blocks(out.size), (256,), (sums, out, parts, M * N, out.size)))
    return launches


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
def plan(x: Spec, y: Spec) -> tuple[Product, Product, Product]:
    """z = x y, dx = dz y^T and dy = x^T dz."""
    (M, K), N = x.shape[-2:], y.shape[-1]
    axes = _axes(x.shape[:-2], y.shape[:-2])
    if len(axes) == 1 and not axes[0][2]:  # one y for all: more rows
        M, axes = M * axes[0][0], []
    steps, apart = [M * K, K * N, M * N], []
    for n, *kind in axes:
        theirs = (*kind, True)
        apart.append([step if there else 0 for step, there in zip(steps, theirs, strict=True)])
        steps = [step * n if there else step for step, there in zip(steps, theirs, strict=True)]

    def product(sizes: tuple[int, int, int], strides: Any, a: int, b: int, out: int) -> Product:
        listed = [(Axis(n, d[a], d[b]), d[out]) for (n, *_), d in zip(axes, apart, strict=True)]
        kept, summed = [axis for axis, step in listed if step], [axis for axis, step in listed if not step]
        inner, outer = (*kept, NONE, NONE)[:2]
        return Product(*sizes, strides[0], strides[1], x.dtype, outer, inner, (*summed, NONE)[0])

    return (
        product((M, N, K), ((K, 1), (1, N)), 0, 1, 2),
        product((M, K, N), ((N, 1), (N, 1)), 2, 1, 0),
        product((K, N, M), ((1, K), (1, N)), 0, 2, 1),
    )


def _guard(specs, attrs):
    """No empty matrices: they are the reference's, as are three kinds of batch axes."""
    x, y = specs
    return floating(specs, attrs) and x.size * y.size > 0 and len(_axes(x.shape[:-2], y.shape[:-2])) <= 2


def _work(phase, x, y, *, precision="fast"):
    products = plan(x, y)[:1] if phase == "forward" else plan(x, y)[1:]
    return tuple([spec for product in products for spec in product.scratch])


def _specs(x, y):
    return Spec(x.shape, x.dtype), Spec(y.shape, y.dtype)


def _forward(outs, saved, x, y, *, precision="fast", work):
    return made(calls(plan(*_specs(x, y))[0], precision, x, y, outs[0], *work))


def _backward(dins, douts, kept, *, precision="fast", work):
    (x, y), (dz,), (dx, dy) = kept.inputs, douts, dins
    _, by_x, by_y = plan(*kept.specs)
    launches = [] if dx is None else calls(by_x, precision, dz, y, dx, *work[: len(by_x.scratch)])
    return made(launches if dy is None else launches + calls(by_y, precision, x, dz, dy, *work[len(by_x.scratch) :]))


OVERRIDES = {"matmul": Override(_forward, _backward, _guard, work=_work, precision=True)}
