"""Optimizer steps over arrays long enough to be shared among threads."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn.core import backend
from xpnn.core.op import REGISTRY
from xpnn_kernels.numba import threads
from xpnn_kernels.numba import update as kernels

N = 100_003
COMMON = {"l1": 0.0, "l2": 0.0, "decayed": 0}
NORM = REGISTRY["clip_norm"]


def flat(seed, positive=False):
    array = np.random.default_rng(seed).standard_normal(N).astype(np.float32)
    return abs(array) if positive else array


@pytest.mark.parametrize("rule", range(7))
def test_every_number_of_threads_gives_the_same_bits(rule):
    results = []
    for count in (1, 2, 3, 7):
        arrays = [flat(0), flat(1), flat(2, positive=True), flat(3, positive=True)]
        numbers = (0.1, 0.9, 0.99, 1e-8)
        kernels.stretches(count, rule, *arrays, *numbers)
        results.append(b"".join(array.tobytes() for array in arrays))
    assert len(set(results)) == 1


@pytest.mark.parametrize(
    ("name", "states", "attrs"),
    [
        ("sgd", 0, {"l1": 0.1, "l2": 0.2, "decayed": 70_001}),
        ("momentum", 1, {"momentum": 0.9, "nesterov": True, **COMMON}),
        ("adagrad", 1, {"eps": 1e-8, **COMMON}),
        ("rmsprop", 1, {"rho": 0.9, "eps": 1e-8, "l1": 0.0, "l2": 0.2, "decayed": 70_001}),
    ],
)
def test_long_arrays_agree_with_the_reference(name, states, attrs):
    arrays = [flat(0), flat(1), *[flat(2, positive=True)] * states, np.array(0.1, np.float32)]
    outs = [backend.get(place).forward(REGISTRY[name], arrays, attrs)[0] for place in ("numpy", "numba")]
    for want, got in zip(*outs, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("limit", [1.0, 1e9])
def test_the_norm_of_a_long_gradient(limit):
    place, g = backend.get("numba"), flat(0)
    want = np.linalg.norm(g.astype(np.float64))
    (clipped, norm), _ = place.forward(NORM, (g,), {"limit": limit})
    assert norm == pytest.approx(want)
    np.testing.assert_allclose(clipped, g * min(1, limit / want), rtol=1e-6)
    (again, _), _ = place.forward(NORM, (g,), {"limit": limit}, out=(g, norm))
    assert again is g
    assert (g == clipped).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_gradient_that_is_not_finite_stays_visible(bad):
    g = flat(0)
    g[-1] = bad
    (clipped, norm), _ = backend.get("numba").forward(NORM, (g,), {"limit": 1.0})
    assert not np.isfinite(norm)
    assert np.isnan(clipped).all()


def test_they_are_shared_among_the_threads_there_are(monkeypatch):
    asked = []
    monkeypatch.setattr(kernels, "stretches", lambda count, *_: asked.append(count))
    monkeypatch.setattr(threads, "threads", lambda *_: 5)
    backend.get("numba").forward(REGISTRY["sgd"], (flat(0), flat(1), np.array(0.1, np.float32)), COMMON)
    assert asked == [5]
