"""no_grad: no graph inside, for its block and its thread alone."""

from __future__ import annotations

import threading

import pytest

import xpnn
from xpnn.errors import AutogradError

from .conftest import grad, leaf


def test_no_grad():
    x = leaf(1.0)
    with xpnn.no_grad():
        y = x * 2
    assert not y.requires_grad
    with pytest.raises(AutogradError, match="no_grad"):
        y.sum().backward()
    assert (x * 2).requires_grad


def test_no_grad_ends_with_an_error_too():
    with pytest.raises(KeyError), xpnn.no_grad():
        raise KeyError
    assert (leaf(1.0) * 2).requires_grad


def test_no_grad_is_for_one_thread():
    seen = []
    with xpnn.no_grad():
        thread = threading.Thread(target=lambda: seen.append((leaf(1.0) * 2).requires_grad))
        thread.start()
        thread.join()
    assert seen == [True]


def test_backward_inside_no_grad():
    x = leaf(3.0)
    y = (x * x).sum()
    with xpnn.no_grad():
        y.backward()
    assert grad(x) == [6]
