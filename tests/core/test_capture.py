"""Captured steps: replayed to the same bits where they can be, and the interface."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.core import backend as backends
from xpnn.errors import CaptureError

from .captured import Training, batch, same

pytestmark = pytest.mark.usefixtures("numba_in_use")


@pytest.mark.parametrize("method", ["SGD", "Momentum", "AdaGrad", "RMSProp", "Adam", "AdamW"])
def test_every_optimizer_is_replayed_bit_for_bit(method):
    same(method=method, clip_norm=1.0, clip_value=0.5)


def test_a_function_may_pause():
    def step(x):
        y = x * 2
        yield y
        yield y + 1

    captured = xpnn.capture(step)
    for i in range(5):
        assert [t.item() for t in captured.steps(xpnn.tensor([float(i)]))] == [2.0 * i, 2.0 * i + 1]
    assert captured.why_not is None
    with pytest.raises(CaptureError, match="yields"):
        captured(xpnn.tensor([1.0]))


def test_strict_raises_where_it_cannot_be_replayed():
    step = xpnn.capture(lambda x: x * x.item(), strict=True)
    with pytest.raises(CaptureError, match="read on the host"):
        step(xpnn.tensor([1.0]))


def test_results_that_are_no_tensors_are_refused():
    with pytest.raises(CaptureError, match="expected tensors as results; got float"):
        xpnn.capture(lambda x: 1.0)(xpnn.tensor([1.0]))


def test_arguments_that_are_no_values_are_refused():
    with pytest.raises(CaptureError, match="expected tensors, arrays, numbers"):
        xpnn.capture(lambda x, y: x)(xpnn.tensor([1.0]), [1])


def test_numpy_runs_it_as_it_is():
    with xpnn.use("numpy"):
        step = xpnn.capture(lambda x: x * 2)
        assert [step(xpnn.tensor([float(i)])).item() for i in range(9)] == [2.0 * i for i in range(9)]
    assert "numpy computes" in step.why_not


def test_results_have_no_graph_whether_replayed_or_not():
    w = xpnn.Parameter(np.ones(2, np.float32), backends.get("numba"))
    step = xpnn.capture(lambda: (w * 2).sum())
    for _ in range(4):
        assert not step().requires_grad


def test_inside_of_another_captured_step_it_runs_as_it_is():
    inner = xpnn.capture(lambda x: x * 2)
    outer = xpnn.capture(lambda x: inner(x) + 1)
    assert [outer(xpnn.tensor([float(i)])).item() for i in range(5)] == [2.0 * i + 1 for i in range(5)]
    assert outer.why_not is None


def test_an_error_in_the_step_leaves_it_usable():
    training = Training(True)
    training.run(1)
    with pytest.raises(xpnn.XpnnError):
        training.step(xpnn.tensor(np.zeros((5, 7), np.float32)), batch(0)[1])
    training.run(3, start=1)
    assert training.step.why_not is None
