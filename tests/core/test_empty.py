"""Shapes at the edge: scalars, no samples, no inputs or outputs."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn


@pytest.mark.parametrize("shape", [(), (1,), (0,), (3, 0), (0, 3), (1, 1, 1)])
def test_odd_shapes_go_through_everything(shape):
    a = np.full(shape, 1.5)
    x = xpnn.tensor(a.copy(), requires_grad=True)
    results = [
        x + x,
        x * 2,
        x**2,
        x.exp(),
        x.log(),
        x.sqrt(),
        abs(x),
        -x,
        x.clip(0.0, 1.0),
        x.reshape(-1) if a.size else x,
    ]
    results += [xpnn.where(x > 1, x, 0.0), xpnn.maximum(x, 1.0), x.astype("float32"), x.transpose(), x[...], x[None]]
    results += [xpnn.ops.relu(x), xpnn.ops.gelu(x)]
    for y in results:
        x.zero_grad()
        assert isinstance(y.numpy(), np.ndarray)
        y.sum().backward(retain_graph=True)
        assert x.grad.shape == shape
    x.zero_grad()
    x.sum().backward()
    assert x.grad.numpy().tolist() == np.ones(shape).tolist()


@pytest.mark.parametrize("name", ["numpy", "numba"])
@pytest.mark.parametrize("N", [0, 1])
def test_a_batch_of_no_samples(name, N):
    x = xpnn.tensor(np.ones((N, 3)), backend=name, requires_grad=True)
    w = xpnn.tensor(np.ones((3, 2)), backend=name, requires_grad=True)
    b = xpnn.tensor(np.ones(2), backend=name, requires_grad=True)
    for activation in (None, "relu", "gelu"):
        y = xpnn.ops.dense(x, w, b, activation)
        assert y.shape == (N, 2)
        y.sum().backward()
        assert x.grad.shape == (N, 3)
        assert w.grad.shape == (3, 2)
        w.zero_grad()
    assert xpnn.ops.softmax(x).shape == (N, 3)
    (x @ w).sum().backward()
    x.take(np.zeros(0, np.int64)).sum().backward()


def test_no_outputs_or_inputs_at_all():
    x, w = xpnn.tensor(np.ones((4, 0)), requires_grad=True), xpnn.tensor(np.ones((0, 2)), requires_grad=True)
    y = xpnn.ops.dense(x, w)
    assert y.numpy().tolist() == [[0, 0]] * 4
    y.sum().backward()
    assert w.grad.shape == (0, 2)
    v = xpnn.tensor(np.ones((3, 0)), requires_grad=True)
    y = xpnn.ops.dense(np.ones((4, 3)), v)
    y.sum().backward()
    assert v.grad.shape == (3, 0)
