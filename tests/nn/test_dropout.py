"""Dropout: its masks, call by call and backend by backend."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.errors import ConfigError

from .conftest import BACKENDS


def masks(backend, calls, rate=0.3, shape=(7, 9)):
    """What a Dropout of a fixed seed keeps, call by call."""
    xpnn.seed(11)
    with xpnn.use(backend):
        layer = nn.Dropout(rate)
        return [layer(xpnn.tensor(np.ones(shape, "float32"))).numpy().copy() for _ in range(calls)]


@pytest.mark.parametrize("backend", BACKENDS)
def test_masks_are_the_same_on_every_backend(backend):
    for ours, theirs in zip(masks(backend, 4), masks("numpy", 4), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("backend", BACKENDS)
def test_every_call_has_a_mask_of_its_own(backend):
    drawn = masks(backend, 6)
    assert len({a.tobytes() for a in drawn}) == 6


@pytest.mark.parametrize("backend", BACKENDS)
def test_dropout_keeps_the_mean(backend):
    (y,) = masks(backend, 1, rate=0.3, shape=(200, 200))
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.7)}
    assert np.mean(y == 0) == pytest.approx(0.3, abs=0.012)


def test_two_layers_drop_differently():
    x = np.ones((10, 10), "float32")
    first, second = nn.Dropout(), nn.Dropout()
    assert not np.array_equal(first(x).numpy(), second(x).numpy())


def test_evaluation_and_rate_zero_pass_through_and_draw_nothing():
    x = xpnn.tensor(np.ones((3, 4), "float32"))
    for layer in (nn.Dropout(0.5).eval(), nn.Dropout(0.0)):
        before = layer.stream.numpy().copy()
        assert layer(x) is x
        np.testing.assert_array_equal(layer.stream.numpy(), before)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_gradient_is_dropped_with_the_same_mask(backend):
    with xpnn.use(backend):
        x = xpnn.tensor(np.ones((5, 6)), requires_grad=True)
        layer = nn.Dropout(0.5)
        y = layer(x)
        layer(x)  # a later draw must not change what the first call kept
        y.sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


def test_masks_go_on_from_a_state_and_over_a_move():
    layer = nn.Dropout(0.5)
    x = np.ones((4, 4), "float32")
    layer(x)
    state = layer.state()
    expected = [layer(x).numpy().copy() for _ in range(4)]
    again = nn.Dropout(0.5)
    again.load_state(state)
    for i, mask in enumerate(expected):
        again.to(BACKENDS[i % len(BACKENDS)])
        np.testing.assert_array_equal(again(xpnn.tensor(x, backend=again.stream.backend)).numpy(), mask)


@pytest.mark.parametrize("rate", [1.0, -0.1, math.nan])
def test_rates_that_make_no_sense(rate):
    with pytest.raises(ConfigError, match=f"^Dropout: expected a rate from 0 up to 1; got {rate}$"):
        nn.Dropout(rate)
