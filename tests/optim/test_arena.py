"""Arenas: how parameters and their gradients lie in one array, and that the rest of it stays zero."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import optim
from xpnn.core import backend as backends
from xpnn.optim.arena import LINE

from .conftest import METHODS, close, descend, give, gradients, parameters


def test_parameters_and_gradients_are_views_of_the_arena(backend):
    params = parameters()
    values = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params)
    close(params, values)
    flat = optimizer.arena.flat
    flat["parameters"][...] = 7
    flat["gradients"][...] = 3
    give(params, gradients(1)[0])
    for p in params:
        assert np.all(p.numpy() == 7)
    if backend.on_host:
        assert all(np.shares_memory(p.data, flat["parameters"]) for p in params)
        assert all(np.shares_memory(p.grad.data, flat["gradients"]) for p in params)


def test_weights_come_first_each_on_a_line_of_its_own(backend):
    arena = optim.SGD(parameters("float32"), lr=0.1).arena
    assert [p.decay for p in arena.parameters] == [True, True, False, False]
    assert [p.shape for p in arena.parameters] == [(3, 5), (5, 2), (5,), (2,)]
    assert [s.start * 4 % LINE for s in arena.slices] == [0] * 4
    assert arena.decayed == 32
    assert arena.size == 64
    for left, right in zip(arena.slices, arena.slices[1:], strict=False):
        assert left.stop <= right.start


@pytest.mark.parametrize("method", METHODS)
def test_padding_stays_zero(backend, method):
    make, own = METHODS[method]
    params = parameters("float32")
    optimizer = make(params, lr=0.1, l1=0.1, l2=0.1, clip_value=1.0, clip_norm=1.0, **own)
    arena = optimizer.arena
    descend(optimizer, params, gradients(4, "float32"))
    used = np.zeros(arena.size, bool)
    for s in arena.slices:
        used[s] = True
    assert used.sum() == sum(p.size for p in params)
    for name, array in arena.flat.items():
        assert np.all(backend.to_host(array)[~used] == 0), name


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(1, 9), max_size=3), st.booleans(), st.booleans()), min_size=1, max_size=8),
    st.sampled_from(["float32", "float64"]),
)
def test_any_set_of_parameters_keeps_its_values_and_lines(drawn, dtype):
    rng = np.random.default_rng(0)
    place = backends.get("numpy")
    params, values = [], []
    for shape, decay, trained in drawn:
        p = xpnn.Parameter(np.asarray(rng.normal(size=shape), dtype), place, decay)
        p.requires_grad = trained
        params.append(p)
        values.append(p.numpy().copy())
    arena = optim.SGD(params, lr=0.5, l2=1.0).arena
    covered = np.zeros(arena.size, int)
    for p, s in zip(arena.parameters, arena.slices, strict=True):
        assert s.start * p.dtype.itemsize % LINE == 0
        assert (s.stop <= arena.decayed) == p.decay
        covered[s] += 1
    assert covered.max() == 1
    trained = [p.requires_grad for p in arena.parameters]
    runs = sum(t and not before for t, before in zip(trained, [False, *trained], strict=False))
    assert len(arena.stretches()) == runs
    for part in arena.stretches():
        covered[part] += 2
    for p, s in zip(arena.parameters, arena.slices, strict=True):
        assert np.all(covered[s] == (3 if p.requires_grad else 1))
    for p, value in zip(params, values, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)
