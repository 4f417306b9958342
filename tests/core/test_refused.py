"""What is no tensor, no number or no dtype: converted, or refused in one line that is ours."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn, ops, optim
from xpnn.errors import XpnnError


def x():
    return xpnn.tensor([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda: x().reshape(2.0, 2), "reshape: expected whole numbers; got 2.0"),
        (lambda: x().reshape("4"), "reshape: expected whole numbers; got '4'"),
        (lambda: x().transpose(1.0, 0), "transpose: expected whole numbers; got 1.0"),
        (lambda: x().sum(1.5), "sum: expected whole numbers; got 1.5"),
        (lambda: x().argmax(None), "argmax: expected whole numbers; got None"),
        (lambda: x().take([0], axis=(0, 1)), r"take: expected whole numbers; got \(0, 1\)"),
        (lambda: xpnn.tensor([1.0], dtype="flaot32"), "tensor: expected a dtype such as .*; got 'flaot32'"),
        (lambda: xpnn.tensor([1.0], dtype="complex64"), "tensor: expected a dtype such as"),
        (lambda: x().astype("flaot32"), "astype: expected a dtype such as .*; got 'flaot32'"),
        (lambda: nn.Dense(2, 3).astype("flaot32"), "astype: expected a dtype such as"),
        (lambda: xpnn.concat(3), "concat: expected a list of tensors; got int"),
        (lambda: ops.dense(x(), "w"), "expected a tensor, an array or numbers; got str"),
        (lambda: optim.Adam(lr="0.1"), "Adam: expected lr as a number; got '0.1'"),
        (lambda: optim.Adam(lr=None), "Adam: expected lr as a number; got None"),
        (lambda: optim.SGD(lr=0.1, l2="1"), "SGD: expected l2 as a number; got '1'"),
        (lambda: optim.SGD(lr=0.1, clip_norm=[1]), r"SGD: expected clip_norm as a number; got \[1\]"),
        (lambda: setattr(optim.SGD(lr=0.1), "lr", "0.1"), "SGD: expected lr as a number; got '0.1'"),
    ],
)
def test_refused_in_one_line(call, text):
    with pytest.raises(XpnnError, match=text) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("lr", [0.1, np.float32(0.1), np.array(0.1), xpnn.tensor(0.1)])
def test_numbers_of_every_kind_are_learning_rates(lr):
    assert optim.SGD(lr=lr).lr == pytest.approx(0.1)


def test_arrays_in_the_place_of_tensors():
    a, w, b = np.array([[1.0, 2.0]]), np.array([[1.0], [2.0]]), np.array([3.0])
    for y in (ops.dense(a, w, b), ops.dense(xpnn.tensor(a), w, b), ops.dense(a, xpnn.tensor(w), b)):
        assert y.numpy().tolist() == [[8.0]]
    logits, labels = np.array([[0.0, 0.0]]), np.array([1])
    for loss in (losses.cross_entropy(logits, labels), losses.cross_entropy(logits, xpnn.tensor(labels))):
        assert float(loss) == pytest.approx(np.log(2))
