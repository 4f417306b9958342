"""Normalisation: digits that a mean far from 0 must not cost, values by hand, one order of sums, errors."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.core.op import REGISTRY
from xpnn.errors import ConfigError, DTypeError, ShapeError


def far_from_zero(*shape):
    return (1000 + np.random.default_rng(1).standard_normal(shape)).astype(np.float32)


def vectors(C):
    return xpnn.tensor(np.ones(C, np.float32)), xpnn.tensor(np.zeros(C, np.float32))


def test_a_mean_far_from_zero_costs_no_digits(place):
    x = far_from_zero(64, 30, 30, 6)
    y, mean, var = ops.batch_norm(xpnn.tensor(x), *vectors(6))
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean.numpy(), wide.mean((0, 1, 2)), rtol=2e-7)
    np.testing.assert_allclose(var.numpy(), wide.var((0, 1, 2)), rtol=2e-5)
    np.testing.assert_allclose(y.numpy(), (wide - wide.mean((0, 1, 2))) / wide.std((0, 1, 2)), atol=3e-4)
    x = far_from_zero(200, 300)
    wide = x.astype(np.float64)
    expected = (wide - wide.mean(1, keepdims=True)) / wide.std(1, keepdims=True)
    np.testing.assert_allclose(ops.layer_norm(xpnn.tensor(x)).numpy(), expected, atol=3e-4)
    y = ops.group_norm(xpnn.tensor(x.reshape(20, 10, 300)), *vectors(300), groups=3).numpy()
    np.testing.assert_allclose(y.reshape(20, 10, 3, 100).std((1, 3)), 1, rtol=1e-4)


def test_a_first_row_unlike_the_others(place):
    x = far_from_zero(500, 4)
    x[0] = 0
    var = ops.batch_norm(xpnn.tensor(x), *vectors(4))[2].numpy()
    np.testing.assert_allclose(var, x.astype(np.float64).var(0), rtol=1e-5)


def test_values_by_hand(place):
    x = xpnn.tensor(np.array([[[1, 2, 10, 30]], [[3, 4, 20, 40]]], np.float32))  # (2, 1, 4)
    ones, zeros = vectors(4)
    assert ops.batch_norm(x, ones, zeros)[1].numpy().tolist() == [2, 3, 15, 35]
    np.testing.assert_allclose(
        ops.batch_norm(x, ones, zeros, eps=1e-9)[0].numpy()[:, 0], [[-1] * 4, [1] * 4], rtol=1e-6
    )
    y = ops.group_norm(x, ones, zeros, groups=2, eps=1e-9).numpy()
    np.testing.assert_allclose(y[:, 0], [[-1, 1, -1, 1]] * 2, rtol=1e-6)
    np.testing.assert_allclose(ops.layer_norm(x[..., :2], eps=1e-9).numpy()[:, 0], [[-1, 1]] * 2, rtol=1e-6)


@pytest.mark.parametrize("name", ["batch_norm", "layer_norm", "group_norm"])
def test_the_same_bits_every_time(place, name):
    found = []
    for _ in range(2):
        x = xpnn.tensor(far_from_zero(8, 40, 50), requires_grad=True)
        gamma, beta = (t.requires_grad_() if hasattr(t, "requires_grad_") else t for t in vectors(50))
        more = {"groups": 5} if name == "group_norm" else {}
        y = getattr(ops, name)(x, gamma, beta, **more)
        y = y[0] if isinstance(y, tuple) else y
        (y * y * y).sum().backward()
        found.append(x.grad.numpy().tobytes())
    assert found[0] == found[1]


def test_no_samples(place):
    x = xpnn.tensor(np.ones((0, 3, 4), np.float32))
    assert ops.layer_norm(x, *vectors(4)).shape == x.shape
    assert ops.group_norm(x, *vectors(4), groups=2).shape == x.shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: ops.batch_norm(np.ones(3, np.float32), *vectors(3)),
            ShapeError,
            r"batch_norm: expected x \(N, ..., C\)",
        ),
        (
            lambda: ops.batch_norm(np.ones((2, 3), np.float32), *vectors(4)),
            ShapeError,
            r"expected gamma \(3,\) to fit x",
        ),
        (lambda: ops.batch_norm(np.ones((0, 3), np.float32), *vectors(3)), ShapeError, "at least one value in every"),
        (lambda: ops.layer_norm(np.ones((2, 0), np.float32)), ShapeError, "layer_norm: expected at least one feature"),
        (lambda: ops.layer_norm(np.ones((2, 3), np.float32), None, vectors(3)[1]), ConfigError, "gamma where beta is"),
        (lambda: ops.layer_norm(xpnn.tensor([[1, 2]])), DTypeError, "layer_norm: expected one floating-point dtype"),
        (
            lambda: ops.group_norm(np.ones((2, 3), np.float32), *vectors(3), groups=2),
            ConfigError,
            "divide the 3 channels",
        ),
        (lambda: ops.layer_norm(np.ones((2, 3), np.float32), eps=0), ConfigError, "layer_norm: expected eps above 0"),
    ],
)
def test_errors(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_an_update_moves_towards_the_new():
    op = REGISTRY["moving_average"]
    (out,), _ = op.forward(np, np.array([1.0, 2.0]), np.array([3.0, 2.0]), rate=0.5, factor=2.0)
    assert out.tolist() == [3.5, 3.0]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_gradients_of_no_rows_are_zero(backend):
    x = xpnn.tensor(np.empty((0, 5), np.float32), backend=backend)
    vectors = [xpnn.tensor(np.ones(5, np.float32), backend=backend, requires_grad=True) for _ in range(2)]
    stats = [xpnn.tensor(np.ones(5, np.float32), backend=backend) for _ in range(2)]
    out = ops.batch_norm_inference(x, *vectors, *stats)
    out.sum().backward()
    assert [v.grad.numpy().tolist() for v in vectors] == [[0.0] * 5] * 2
