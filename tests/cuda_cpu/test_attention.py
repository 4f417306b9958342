"""Attention on tensor cores: what is rounded and what is not, sizes that fill no tile, NaN and infinity."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

import xpnn
from cuda_cpu import build, conformance
from cuda_cpu.launch import LaunchError
from cuda_cpu.test_precision import parameter, rounded
from xpnn import ops
from xpnn.backends.cupy import module
from xpnn.core.op import Arg, Case
from xpnn.core.precision import ROUNDOFF

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))
TILE = 64
"""Keys that forward looks at together: a larger score shrinks what came of those before."""


def case(N, T, S, D, V, heads, causal, lengths, **attrs):
    args = Arg((N, T, D * heads)), Arg((N, S, D * heads)), Arg((N, S, V * heads))
    more = (Arg((N,), "labels", lengths),) if lengths else ()
    return Case((*args, *more), {"heads": heads, "causal": causal, "scale": D**-0.5, **attrs})


SIZES = [
    case(1, 3, 70, 65, 3, 1, True, 0),  # more features than a tile, or fewer than a pack
    case(2, 66, 2, 2, 67, 1, False, 3),
    case(1, 129, 65, 1, 5, 2, True, 0),  # more queries than a tile, and than keys
    case(1, 65, 130, 64, 1, 1, True, 0),  # more keys
    case(2, 5, 129, 5, 64, 2, False, 129),
    case(2, 33, 40, 8, 4, 1, True, 1),  # no keys at all
]


@pytest.mark.parametrize("precision", ROUNDOFF)
@pytest.mark.parametrize("given", SIZES, ids=str)
def test_sizes(given, precision):
    attrs = given.attrs | {"precision": precision}
    conformance.parity(module.folder(), ["attention"], ["float32"], [Case(given.args, attrs)])


def close(got, want):
    """As sums of float32 are, but for the few weights that round otherwise as exp has another last bit."""
    errors = np.abs(got.numpy()[0] - want) / np.abs(want).max()
    assert (errors > 2e-6).mean() < 0.05
    assert errors.max() < 1e-3


def by_hand(q, k, v, dy, scale, causal, r):
    """(y, dq, dk, dv) of one head in float64, with r(x) where an operand is rounded."""
    T, S = len(q), len(k)
    seen = np.arange(S) <= np.arange(T)[:, None] + S - T if causal else np.full((T, S), True)
    scores = np.where(seen, r(q) @ r(k).T * scale, -np.inf)
    y, total, top = np.zeros((T, v.shape[1])), np.zeros((T, 1)), np.full((T, 1), -np.inf)
    for s in range(0, S, TILE):
        before, part = top, scores[:, s : s + TILE]
        top = np.maximum(top, part.max(1, keepdims=True))
        shift = np.where(top == -np.inf, 0, top)
        p, shrunk = np.exp(part - shift), np.exp(before - shift)
        y, total = y * shrunk + r(p) @ r(v[s : s + TILE]), total * shrunk + p.sum(1, keepdims=True)
    y /= total
    p = np.exp(scores - top - np.log(total))
    ds = p * (r(dy) @ r(v).T - (y * r(dy)).sum(1, keepdims=True))
    return y, r(ds) @ r(k) * scale, r(ds).T @ r(q) * scale, r(p).T @ r(dy)


@pytest.mark.parametrize("precision", ROUNDOFF)
@pytest.mark.parametrize(("T", "S", "D", "V", "causal"), [(150, 193, 9, 5, True), (40, 150, 70, 68, False)])
def test_operands_are_rounded_and_sums_are_not(cupy, T, S, D, V, causal, precision):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(rows, width)).astype("f4") for rows, width in ((T, D), (S, D), (S, V), (T, V))]
    q, k, v = (parameter(x[None]) for x in arrays[:3])
    with xpnn.precision(precision):
        y = ops.attention(q, k, v, causal=causal, scale=0.25)
    y.backward(xpnn.tensor(arrays[3][None]).to("cuda:1"))  # out of the block: under the precision of forward
    found = [y, q.grad, k.grad, v.grad]
    for got, want in zip(
        found, by_hand(*arrays, 0.25, causal, lambda x: rounded(x.astype("f4"), precision)), strict=True
    ):
        close(got, want)
    exact = by_hand(*arrays, 0.25, causal, lambda x: x)
    assert all([np.abs(got.numpy()[0] - want).max() > 1e-5 for got, want in zip(found, exact, strict=True)])


def not_finite(precision, arrays):
    """Which elements of the output and the gradients are infinite (1) or NaN (2)."""
    q, k, v = (parameter(x) for x in arrays)
    lengths = xpnn.tensor(np.array([70, 30])).to("cuda:1")
    with xpnn.precision(precision):
        y = ops.attention(q, k, v, heads=2, lengths=lengths)
    y.backward(xpnn.tensor(np.ones(y.shape, "f4")).to("cuda:1"))
    return [np.isinf(x.numpy()) + 2 * np.isnan(x.numpy()) for x in (y, q.grad, k.grad, v.grad)]


@pytest.mark.parametrize("precision", ROUNDOFF)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("at", range(3))
def test_nan_and_infinity_go_where_they_go_in_float32(cupy, at, value, precision):
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(2, length, 8)).astype("f4") for length in (130, 70, 70)]
    arrays[at][0, 3, 2] = value
    if at:
        arrays[at][1, 30:] = np.nan  # padding is not read
    found = not_finite(precision, arrays)
    for got, want in zip(found, not_finite("exact", arrays), strict=True):
        assert (got == want).all()
    assert found[0].any()
    assert not found[0][1].any()


@pytest.mark.parametrize("precision", ["exact", *ROUNDOFF])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_padding_has_a_gradient_of_0_where_all_else_is_nan(cupy, value, precision):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 130, 8)).astype("f4")
    x[0, 3, 2] = value
    q, k, v = (parameter(a) for a in (x, *rng.normal(size=(2, 1, 70, 8))))
    with xpnn.precision(precision):
        y = ops.attention(q, k, v, lengths=xpnn.tensor(np.array([5])).to("cuda:1"))
    y.backward(xpnn.tensor(x).to("cuda:1"))
    for t in (k, v):
        assert (t.grad.numpy()[0, 5:] == 0).all()
        assert not np.isfinite(t.grad.numpy()[0, :5]).all()


@pytest.mark.parametrize("precision", ROUNDOFF)
def test_one_key_has_all_the_weight_and_no_gradient(cupy, precision):
    rng = np.random.default_rng(0)
    q, k, v = (parameter(rng.normal(size=(3, rows, 8))) for rows in (5, 1, 1))
    with xpnn.precision(precision):
        y = ops.attention(q, k, v)
    y.backward(xpnn.tensor(rng.normal(size=y.shape).astype("f4")).to("cuda:1"))
    assert np.abs(q.grad.numpy()).max() < 2e-6
    assert np.abs(k.grad.numpy()).max() < 2e-6


def test_fp16_overflows_in_scores(cupy):
    x = np.full((1, 2, 4), 70000.0)
    for precision, fine in {"tf32": True, "bf16": True, "fp16": False}.items():
        with xpnn.precision(precision):
            y = ops.attention(*[parameter(a) for a in (x / 70000, x, x / 70000)]).numpy()
        assert np.isfinite(y).all() == fine


# Can it fail? ---------------------------------------------------------------------------------------------------------

BARRIER = "\n    __syncthreads();"
KEY = "IN_WORD == 2 ? k : (k & ~7) | (k & 3) << 1 | (k >> 2 & 1)"


@pytest.mark.parametrize(
    ("precision", "file", "old", "new"),
    [
        (
            "bf16",
            "attention.cuh",
            "loader.store(memory.right[now]);\n    __syncthreads();",
            "loader.store(memory.right[now]);",
        ),
        ("tf32", "attention.cuh", KEY, "k"),
        ("fp16", "attention.cuh", "k - Z::DEPTH, memory", "k, memory"),
        ("bf16", "attention.cuh", "s <= t + keys", "s < t + keys"),
        ("bf16", "attention.cuh", "by_time > end ? end", "by_time > end ? end - 1"),
        ("tf32", "attention.cuh", "= Format<F>::word(pair[0], pair[IN_WORD - 1])", "= __float_as_int(pair[0])"),
        ("fp16", "mma.cuh", "mma_fp16(c, a, b)", "mma_bf16(c, a, b)"),
        ("bf16", "attention.cu", "as_operand<F>(dy[row * V + i])", "dy[row * V + i]"),
        ("bf16", "attention.cu", "p < T(0) ? T(0) : p *", "p *"),
    ],
)
def test_a_cut_is_noticed(broken, cupy, precision, file, old, new):
    folder = broken(file, old, new)
    with mock.patch.object(module, "folder", return_value=folder), pytest.raises((AssertionError, LaunchError)):
        test_operands_are_rounded_and_sums_are_not(cupy, 150, 193, 9, 5, True, precision)
