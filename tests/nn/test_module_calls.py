"""Calling a module: what it takes for inputs, what it refuses, and who may watch."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.core import backend as backends
from xpnn.errors import BackendError, DTypeError, ShapeError
from xpnn.nn.module import parameter

from .conftest import BACKENDS, Tree

# Inputs ---------------------------------------------------------------------------------------------------------------


class Total(nn.Module):
    def __init__(self):
        self.w = parameter((2,), "ones")

    def forward(self, parts, scale=1.0, offset=None):
        total = sum(parts[1:], parts[0]) * self.w * scale
        return total if offset is None else total + offset


def test_a_list_of_tensors_stays_one():
    a, b = (xpnn.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    Total()([a, b]).sum().backward()
    assert a.grad.numpy().tolist() == b.grad.numpy().tolist() == [1, 1]
    assert Total()([a.detach(), np.ones(2)]).numpy().tolist() == [2, 3]


def test_arguments_by_name():
    y = Total()(parts=np.array([[1.0, 2.0], [3.0, 4.0]]), offset=[0.5, 0.5], scale=2.0)
    assert y.dtype == np.dtype("float32")
    assert y.numpy().tolist() == [8.5, 12.5]


def test_a_module_without_forward():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty\.forward is not written"):
        Empty()(1.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_raw_inputs_take_backend_and_dtype_of_the_parameters(backend, dtype):
    layer = nn.Dense(2, 3).astype(dtype).to(backend)
    rows = [[0.5, -1.0], [2.0, 0.25]]
    expected = layer(xpnn.tensor(rows, dtype=dtype, backend=backend)).numpy()
    inputs = [rows]
    if backends.get(backend).on_host:
        inputs += [np.array(rows), np.array(rows, "float32"), np.array(rows, ">f8"), np.asfortranarray(rows)]
    for x in inputs:
        out = layer(x)
        assert (out.dtype, out.backend.name) == (dtype, backend)
        np.testing.assert_array_equal(out.numpy(), expected)


def test_read_only_inputs_are_taken_and_inputs_are_not_written():
    x = np.ones((2, 3), "float32")
    x.flags.writeable = False
    Tree()(x).sum().backward()
    assert np.all(x == 1)


@pytest.mark.parametrize("x", [np.ones((2, 3), np.uint8), [[1, 2, 3]], np.ones((2, 3), bool)])
def test_whole_numbers_are_not_taken_for_features(x):
    """They may be pixels that want scaling, or indices; the caller says which."""
    with pytest.raises(DTypeError, match="dense: expected one floating-point dtype; got x .*Convert with .astype"):
        nn.Dense(3, 2)(x)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        ([[1.0, 2.0, 3.0], [4.0]], ShapeError, "tensor: expected lists of one length on each level"),
        ([["a"]], DTypeError, "expected a tensor, an array or numbers; got list"),
        (np.array(["a"]), DTypeError, "expected a tensor, an array or numbers; got ndarray"),
        (np.ones((2, 4)), ShapeError, r"dense: expected x \(N, 3\); got \(2, 4\)"),
    ],
)
def test_inputs_that_make_no_sense(x, error, text):
    with pytest.raises(error, match=text) as caught:
        nn.Dense(3, 2)(x)
    assert "\n" not in str(caught.value)


def test_inputs_on_another_backend():
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    layer = nn.Dense(2, 3).to(BACKENDS[1])
    with pytest.raises(BackendError, match=rf"dense: expected one backend; got x on numpy and w on {BACKENDS[1]}"):
        layer(xpnn.tensor([[1.0, 2.0]], backend="numpy"))


# Watchers -------------------------------------------------------------------------------------------------------------


def test_watchers_see_every_module_and_only_inside():
    seen = []
    tree = Tree().eval()
    with nn.watching(lambda module, out: seen.append((type(module).__name__, out.shape))):
        tree(np.ones((2, 3)))
    kinds = [kind for kind, _ in seen]
    assert kinds == ["Dense"] * 3 + ["Dropout", "Sequential"] + ["Dense"] * 3 + ["Tree"]
    assert seen[-1] == ("Tree", (2, 2))
    tree(np.ones((2, 3)))
    assert len(seen) == 9


def test_a_watcher_is_gone_after_an_error():
    def complain(module, out):
        raise ValueError("stop")

    layer = nn.Dense(1, 1)
    with pytest.raises(ValueError, match="stop"), nn.watching(complain):
        layer(np.ones((1, 1)))
    layer(np.ones((1, 1)))
