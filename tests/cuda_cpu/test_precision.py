"""Products on tensor cores: operands rounded to nearest even, sums in float32, backward as forward."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

import xpnn
from cuda_cpu import build, conformance
from cuda_cpu.launch import LaunchError, Module
from xpnn.backends.cupy import dense, formats, gemm, module
from xpnn.check import ConformanceError, Sample
from xpnn.check_cases import kept
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY, Arg, Case
from xpnn.core.precision import ROUNDOFF
from xpnn.core.tensor import Parameter

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))
BITS = {"tf32": 10, "bf16": 7}
"""Of the fraction, in formats with the exponent of float32."""


def rounded(x, precision):
    """To nearest even, in float64."""
    if precision == "fp16":
        with np.errstate(over="ignore"):
            return x.astype(np.float16).astype("f8")
    fraction, exponent = np.frexp(x.astype("f8"))
    scale = 2.0 ** (BITS[precision] + 1)
    return np.ldexp(np.rint(fraction * scale) / scale, exponent)


@pytest.fixture
def device(cupy):
    formats.architecture.cache_clear()
    yield cupy.cuda
    formats.architecture.cache_clear()


@pytest.fixture
def few(monkeypatch):
    """Two blocks are enough: large tiles for matrices that are quick to test."""
    dense.plan.cache_clear()
    monkeypatch.setattr(gemm, "ENOUGH", 2)
    yield
    dense.plan.cache_clear()


def parameter(x, place="cuda:1", dtype="f4"):
    backend = backends.get(place)
    return Parameter(backend.from_host(x.astype(dtype)), backend)


def close(got, want):
    """As sums of float32 are: far nearer than operands that were not rounded, or otherwise."""
    error = np.abs(got.numpy() - want).max() / np.abs(want).max()
    assert error < 2e-6, error


@pytest.mark.parametrize("precision", ROUNDOFF)
@pytest.mark.parametrize("shape", [(5, 7, 3), (33, 70, 40), (130, 70, 150), (2, 2100, 3)], ids=str)
def test_operands_are_rounded_and_sums_are_not(device, few, shape, precision):
    M, K, N = shape
    rng = np.random.default_rng(0)
    a, b, dy = rng.normal(size=(M, K)), rng.normal(size=(K, N)), rng.normal(size=(M, N)).astype("f4")
    x, w, bias = parameter(a), parameter(b), parameter(np.zeros(N))
    with xpnn.precision(precision):
        products = x @ w, xpnn.ops.dense(x, w, bias)
    r = [rounded(v.astype("f4"), precision) for v in (a, b, dy)]
    for y in products:  # out of the block: backward is under the precision of forward
        for leaf in (x, w):
            leaf.zero_grad()
        close(y, r[0] @ r[1])
        y.backward(xpnn.tensor(dy).to("cuda:1"))
        close(x.grad, r[2] @ r[1].T)
        close(w.grad, r[0].T @ r[2])
    assert np.abs(products[0].numpy() - a @ b).max() > 1e-5


@pytest.mark.parametrize("name", sorted(name for name, op in REGISTRY.items() if op.products))
@pytest.mark.parametrize("precision", ROUNDOFF)
def test_no_op_forgets_its_precision(device, name, precision):
    op, place, found = REGISTRY[name], backends.get("cuda:1"), {}
    case = [case for case in op.cases if case.attrs.get("precision") == precision][-1]
    s = Sample(op, case, np.dtype("f4"))
    xs = [place.from_host(x) for x in s.inputs]
    for chosen in (precision, "exact"):
        attrs = s.attrs | {"precision": chosen}
        outs, saved = place.forward(op, xs, attrs)
        memory, douts = kept(op, xs, outs, saved, s.specs), [place.from_host(d) for d in s.douts]
        dx = place.backward(op, s.want(0), douts, memory, attrs, [None] * len(xs))[0]
        found[chosen] = [place.to_host(a) for a in (outs[0], dx)]
    for got, exact in zip(found[precision], found["exact"], strict=True):
        assert (got != exact).mean() > 0.1


@pytest.mark.parametrize("precision", ROUNDOFF)
def test_recurrent_steps_round_what_they_multiply(device, precision):
    """States and gradients of whole numbers, that float32 has exactly, so that no rounding of theirs can differ."""
    N, T, I, H = 18, 3, 20, 40
    rng = np.random.default_rng(0)
    x, h0, dy = (rng.integers(-5000, 5000, shape).astype("f4") for shape in ((N, T, I), (N, H), (N, T, H)))
    w, u = (rng.choice([-1, 0, 1], shape, p=[0.1, 0.8, 0.1]).astype("f4") for shape in ((I, H), (H, H)))
    leaves = [parameter(a) for a in (x, w, u, np.zeros(H), h0)]
    with xpnn.precision(precision):
        y, _ = xpnn.ops.rnn(*leaves, activation="relu")
    y.backward(xpnn.tensor(dy).to("cuda:1"))

    def r(a):
        return rounded(a.astype("f4"), precision)

    states, dz = [h0], np.zeros((N, T, H))
    for t in range(T):
        states.append(np.maximum(r(x[:, t]) @ w + r(states[-1]) @ u, 0))
    close(y, np.stack(states[1:], axis=1))
    dh = np.zeros((N, H))
    for t in reversed(range(T)):
        dz[:, t] = (dy[:, t] + dh) * (states[t + 1] > 0)
        dh = r(dz[:, t]) @ u.T
    before, rows = np.stack(states[:-1], axis=1), r(dz).reshape(-1, H)
    wanted = rows @ w.T, r(x).reshape(-1, I).T @ rows, r(before).reshape(-1, H).T @ rows, rows.sum(axis=0), dh
    for leaf, want in zip(leaves, wanted, strict=True):
        close(leaf.grad, want.reshape(leaf.shape))


def number_of(bits, precision):
    """What a format's bits stand for."""
    if precision == "fp16":
        return bits.astype("u2").view("f2")[0]
    return (bits << 16 if precision == "bf16" else bits).view("f4")[0]


ROUND = "template <typename F> __global__ void round(const float* x, unsigned* y) { y[0] = F::round(x[0]); }"


@pytest.mark.parametrize("precision", ROUNDOFF)
def test_every_kind_of_number_is_rounded_to_nearest_even(precision):
    name = f"round<{formats.ROUNDED[precision]}>"
    kernel = Module(f'#include "mma.cuh"\n{ROUND}', [name], (f"-I{module.folder()}",))
    ulp = 2 * ROUNDOFF[precision]
    numbers = [0.0, -0.0, 1.0, 1 + ulp / 2, 1 + 3 * ulp / 2, 1 + ulp / 2 + 1e-6, -(1 + ulp / 2), 2 - ulp / 4, 65519.0]
    numbers += [65520.0, 1e30, 3.4028235e38, 6e-8, 3e-8, np.inf, -np.inf]
    for number in np.array(numbers, "f4"):
        x, y = np.array([number], "f4"), np.zeros(1, "u4")
        kernel.run(name, (1,), (32,), (x, y))
        with np.errstate(over="ignore"):
            assert number_of(y, precision) == rounded(x, precision).astype("f4")[0], number
            assert np.signbit(number_of(y, precision)) == np.signbit(number)
    for bits in (0x7F800001, 0x7FC00000, 0xFFFFFFFF):
        kernel.run(name, (1,), (32,), (np.array([bits], "u4").view("f4"), y))
        assert np.isnan(number_of(y, precision))


def test_fp16_overflows_and_the_others_do_not(device):
    x = parameter(np.array([[70000.0, 1.0]]))
    found = {}
    for precision in ROUNDOFF:
        with xpnn.precision(precision):
            found[precision] = (x @ parameter(np.ones((2, 1)))).numpy().item()
    assert found["fp16"] == np.inf
    assert found["tf32"] == pytest.approx(70001, rel=1e-3)
    assert found["bf16"] == pytest.approx(70001, rel=1e-2)


@pytest.mark.parametrize(
    ("capability", "there"), [("70", set()), ("75", {"fp16"}), ("80", {*ROUNDOFF}), ("120", {*ROUNDOFF})]
)
def test_a_gpu_without_a_format_computes_in_float32(device, capability, there):
    rng = np.random.default_rng(0)
    x, w = parameter(rng.normal(size=(4, 9))), parameter(rng.normal(size=(9, 5)))
    exact = (x @ w).numpy()
    with mock.patch.object(device, "capability", capability):
        for precision in ROUNDOFF:
            formats.architecture.cache_clear()
            with xpnn.precision(precision):
                assert ((x @ w).numpy() == exact).all() == (precision not in there)


@pytest.mark.parametrize("place", ["numpy", "numba", "cuda:1"])
@pytest.mark.parametrize("precision", ROUNDOFF)
def test_float64_and_cpus_compute_as_ever(cupy, place, precision):
    rng = np.random.default_rng(0)
    dtype = "f8" if place == "cuda:1" else "f4"
    x, w = (parameter(rng.normal(size=shape), place, dtype) for shape in ((4, 9), (9, 5)))
    fast = x @ w
    with xpnn.precision(precision):
        assert ((x @ w).numpy() == fast.numpy()).all()


# Can it fail? -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a[1] = at[0][m + 8], a[2] = at[4][m]", "a[1] = at[4][m], a[2] = at[0][m + 8]"),
        ("columns[j][1] = b[4]", "columns[j][1] = b[0]"),
        ("+ column() + 2 * t", "+ column() + t"),
        ("* N + column()", "* N + 0 * column()"),
        ("left.at + slice() * WORDS + word + t", "left.at + slice() * WORDS + word + 3 - t"),
    ],
)
def test_a_wrong_layout_is_noticed(broken, old, new):
    case = Case((Arg((20, 40)), Arg((40, 36))), {"precision": "bf16"})
    folder = broken("mma.cuh", old, new)
    with pytest.raises((ConformanceError, LaunchError)):
        conformance.parity(folder, ["matmul"], ["float32"], [case])


def test_a_cut_in_the_place_of_rounding_is_noticed(broken, cupy):
    folder = broken("mma.cuh", "bits + 0xFFF + (bits >> 13 & 1)", "bits")
    with mock.patch.object(module, "folder", return_value=folder), pytest.raises(AssertionError):
        test_every_kind_of_number_is_rounded_to_nearest_even("tf32")
