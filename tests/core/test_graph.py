"""The graph: how long it lives, what it holds, and that what was changed since is noticed."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import xpnn
from xpnn.core.tensor import Parameter
from xpnn.errors import AutogradError

from .conftest import grad, leaf

# Freed and retained ---------------------------------------------------------------------------------------------------


def test_second_backward_says_what_to_do():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(AutogradError, match="retain_graph=True"):
        y.backward()
    assert grad(x) == [2, 4]


def test_second_backward_through_a_shared_part():
    x = leaf(1.0)
    y = x.exp()
    (y * 2).sum().backward()
    with pytest.raises(AutogradError, match="freed"):
        (y * 3).sum().backward()


def test_retain_graph():
    x = leaf(1.0, 2.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert grad(x) == [4, 8]


def test_two_roots_over_one_graph():
    x = leaf(2.0)
    y = x * x
    (y * 3).sum().backward(retain_graph=True)
    (y * 5).sum().backward()
    assert grad(x) == [32]


def test_a_second_graph_after_a_failed_backward():
    x = leaf(1.0)
    y = x.exp().sum()
    y.backward()
    with pytest.raises(AutogradError):
        y.backward()
    x.zero_grad()
    x.exp().sum().backward()
    assert grad(x) == [np.e]


def test_an_activation_that_backward_does_not_read_is_not_held():
    x = leaf(1.0, 2.0)
    y = x * 2
    z = y + 1.0
    of_y = weakref.ref(y.data)
    del y
    assert of_y() is None
    z.sum().backward()
    assert grad(x) == [2, 2]


@pytest.mark.parametrize("backend", ["numpy", "numba"])
def test_a_kept_loss_holds_no_activation_after_backward(backend):
    x = xpnn.tensor(np.ones((5, 4)), backend=backend)
    w = xpnn.tensor(np.ones((4, 4)), backend=backend, requires_grad=True)
    h = xpnn.ops.dense(x, w, activation="tanh")
    loss = (h @ w).square().sum()
    of_x, of_h = weakref.ref(x.data), weakref.ref(h.data)
    del x, h
    loss.backward(retain_graph=True)
    assert of_x() is not None
    assert of_h() is not None
    loss.backward()
    gc.collect()  # a first call compiles, and the compiler leaves cycles behind
    assert of_x() is None
    assert of_h() is None
    with pytest.raises(AutogradError, match="retain_graph=True"):
        loss.backward()


# Changed --------------------------------------------------------------------------------------------------------------


def test_a_changed_weight_is_noticed():
    w = Parameter(np.array([2.0]), xpnn.current_backend())
    x = leaf(3.0)
    y = (x * w).sum()
    w.data[...] = 100.0
    w.version[0] += 1
    with pytest.raises(AutogradError, match="changed since the forward pass"):
        y.backward()


def test_a_changed_weight_behind_a_view_is_noticed():
    w = Parameter(np.array([2.0, 3.0]), xpnn.current_backend())
    x = leaf(3.0, 4.0)
    for view in (w.reshape(2, 1).reshape(2), w[::-1], w.transpose(), w.detach()):
        y = (x * view).sum()
        w.version[0] += 1
        with pytest.raises(AutogradError, match="changed"):
            y.backward()


def test_a_changed_weight_that_backward_does_not_read_is_fine():
    w = Parameter(np.array([2.0]), xpnn.current_backend())
    y = (w + 1.0).sum()
    w.version[0] += 1
    y.backward()
    assert grad(w) == [1]


def test_a_changed_output_is_noticed():
    x = leaf(1.0)
    y = x.exp()
    y.detach().assign([5.0])
    with pytest.raises(AutogradError, match="the output of exp was changed"):
        y.backward()


def test_nothing_is_added_when_a_part_cannot_be_run():
    x, w = leaf(3.0), leaf(2.0)
    part = x * w
    y = (part + w).sum()
    x.assign([4.0])
    with pytest.raises(AutogradError, match="changed"):
        y.backward()
    assert w.grad is None


def test_no_value_is_assigned_inside_a_graph():
    x = leaf(2.0)
    y = x * 3
    with pytest.raises(AutogradError, match="assign: expected a leaf"):
        y.assign([1.0])
    (y * y).sum().backward()
    assert grad(x) == [36]
