"""The tape: what accumulates, in which order, from where to where."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.errors import AutogradError, ShapeError

from .conftest import grad, leaf

# Adding up ------------------------------------------------------------------------------------------------------------


def test_gradients_add_up_over_calls():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    assert grad(x) == [7, 7]


def test_zero_grad_forgets():
    x = leaf(1.0, 2.0)
    (x * 3).sum().backward()
    x.zero_grad()
    assert grad(x) == [0, 0]
    x.zero_grad()
    (x * 4).sum().backward()
    assert grad(x) == [4, 4]


def test_zeroed_before_any_backward_is_still_none():
    x = leaf(1.0)
    x.zero_grad()
    assert x.grad is None


def test_a_leaf_used_in_many_places():
    x = leaf(2.0, 3.0)
    (x * x + x * x * x + x).sum().backward()
    assert grad(x) == [2 * 2 + 3 * 4 + 1, 2 * 3 + 3 * 9 + 1]


def test_a_leaf_that_enters_one_op_three_times():
    x = leaf(1.0, 2.0)
    y = xpnn.concat([x, x, x])
    (y * np.arange(6.0)).sum().backward()
    assert grad(x) == [0 + 2 + 4, 1 + 3 + 5]


def test_a_node_used_twice_by_one_op_and_again_by_another():
    x = leaf(3.0)
    y = x * 2
    (y * y + y.exp() * 0 + y).sum().backward()
    assert grad(x) == [2 * (2 * 6) + 2]


def test_a_diamond_does_not_run_a_node_twice():
    x = leaf(1.5)
    y = x * 2
    for _ in range(40):  # 2^40 paths
        y = y + y
    y.sum().backward()
    assert grad(x) == [2.0**41]


def test_a_deep_graph_needs_no_recursion():
    x = leaf(1.0)
    y = x
    for _ in range(5000):
        y = y + 1.0
    y.sum().backward()
    assert grad(x) == [1]


def test_gradients_do_not_alias_each_other():
    """add gives its incoming gradient to both sides: a later += on one must not reach the other."""
    x, y = leaf(1.0), leaf(1.0)
    (x + y).sum().backward()
    (x * 5).sum().backward()
    assert (grad(x), grad(y)) == ([6], [1])


def test_the_order_of_addition_depends_on_the_program_alone():
    """Sums of floating-point numbers depend on their order; run it again and every bit is the same."""

    def once():
        x = xpnn.tensor(np.linspace(0.1, 1, 7, dtype="float32"), requires_grad=True)
        y = x.exp() * xpnn.sin(x) + x.log() / (x + 1) + x**3
        (y * y).mean().backward()
        return x.grad.numpy().tobytes()

    assert len({once() for _ in range(5)}) == 1


# Where it begins ------------------------------------------------------------------------------------------------------


def test_a_leaf_is_its_own_gradient():
    x = leaf(5.0)
    x.backward()
    x.backward()
    assert grad(x) == [2]


def test_the_starting_gradient_is_not_changed():
    start = np.array([1.0, 2.0])
    x = leaf(1.0, 1.0)
    y = x + x
    y.backward(start, retain_graph=True)
    y.backward(start)
    assert start.tolist() == [1, 2]
    assert grad(x) == [4, 8]


def test_backward_of_what_is_no_scalar():
    with pytest.raises(ShapeError, match=r"\(2,\)"):
        (leaf(1.0, 2.0) * 2).backward()


@pytest.mark.parametrize("start", [np.ones(3), np.ones((2, 1)), 1.0])
def test_a_starting_gradient_of_another_shape(start):
    with pytest.raises(ShapeError, match="expected a gradient"):
        (leaf(1.0, 2.0) * 2).backward(start)


# Where it ends --------------------------------------------------------------------------------------------------------


def test_a_branch_without_gradient_costs_nothing():
    x, constant = leaf(1.0, 2.0), xpnn.tensor(np.array([5.0, 6.0]))
    (x * constant).sum().backward()
    assert grad(x) == [5, 6]
    assert constant.grad is None


def test_comparisons_and_positions_cut_the_graph():
    x = leaf(1.0, 2.0)
    assert not (x > 1).requires_grad
    assert not x.argmax(0).requires_grad
    assert not x.astype("int64").requires_grad


def test_gradient_goes_back_through_astype():
    x = leaf(1.0, 2.0, dtype="float32")
    (x.astype("float64") * 0.1).sum().backward()
    assert x.grad.dtype == np.dtype("float32")


def test_constants_refuse_a_gradient():
    logits, target = leaf(*np.eye(2)), leaf(*np.eye(2))
    with pytest.raises(AutogradError, match="target"):
        xpnn.ops.cross_entropy(logits, target)


def test_a_leaf_frozen_after_the_forward_pass_gets_nothing():
    x, w = leaf(3.0), leaf(2.0)
    y = (x * w).sum()
    w.requires_grad = False
    y.backward()
    assert grad(x) == [2]
    assert w.grad is None
