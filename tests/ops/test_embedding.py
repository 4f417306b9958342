"""Embedding and one-hot rows: values by hand, ids out of range, bits; parity and gradients are in tests/generated."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.core.op import REGISTRY
from xpnn.core.tape import apply
from xpnn.errors import ConfigError, DTypeError, ShapeError

TABLE = np.array([[1, 2], [3, 4], [5, 6]], np.float32)


@pytest.mark.parametrize("dtype", ["int64", "int32", "uint8"])
def test_values_by_hand(place, dtype):
    with xpnn.use(place):
        table = xpnn.tensor(TABLE, requires_grad=True)
        y = ops.embedding(table, xpnn.tensor(np.array([[2, 0, 2]], dtype)))
        assert y.numpy().tolist() == [[[5, 6], [1, 2], [5, 6]]]
        y.backward(xpnn.tensor(np.array([[[1, 2], [10, 20], [100, 200]]], np.float32)))
        assert table.grad.numpy().tolist() == [[10, 20], [0, 0], [101, 202]]
        assert ops.one_hot(xpnn.tensor(np.array([1, 0], dtype)), 3).numpy().tolist() == [[0, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("wrong", [-1, 3, 300])
def test_ids_out_of_range(place, wrong):
    with xpnn.use(place):
        with pytest.raises(ShapeError, match=f"embedding: expected ids from 0 to 2; got .*{wrong}"):
            ops.embedding(xpnn.tensor(TABLE), [1, wrong])
        with pytest.raises(ShapeError, match="one_hot: expected ids from 0 to 2"):
            ops.one_hot([0, wrong], 3)


@pytest.mark.parametrize("wrong", [-1, 3, 300])
def test_ids_out_of_range_in_a_replay(place, wrong):
    """The ops themselves, as a replayed step and a device run them, make the rows NaN and leave the gradient alone."""
    with xpnn.use(place):
        table, ids = xpnn.tensor(TABLE, requires_grad=True), xpnn.tensor(np.array([1, wrong, 2]))
        y = apply(REGISTRY["one_hot"], ids, classes=3, dtype="float32")
        assert np.isnan(y.numpy()).tolist() == [[False] * 3, [True] * 3, [False] * 3]
        y = apply(REGISTRY["embedding"], table, ids)
        assert np.isnan(y.numpy()).tolist() == [[False] * 2, [True] * 2, [False] * 2]
        y.backward(xpnn.tensor(np.ones((3, 2), np.float32)))
        assert table.grad.numpy().tolist() == [[0, 0], [1, 1], [1, 1]]


def test_the_number_of_threads_changes_no_bit():
    rng = np.random.default_rng(0)
    values, ids = rng.standard_normal((50, 100)).astype(np.float32), rng.integers(0, 50, (60, 40))
    dy = rng.standard_normal((60, 40, 100)).astype(np.float32)

    def run(threads):
        xpnn.set_num_threads(threads)
        with xpnn.use("numba"):
            table = xpnn.tensor(values, requires_grad=True)
            y = ops.embedding(table, ids)
            y.backward(dy)
            return y.numpy(), table.grad.numpy()

    most = xpnn.get_num_threads()
    try:
        one, all_of_them = run(1), run(most)
    finally:
        xpnn.set_num_threads(most)
    for a, b in zip(one, all_of_them, strict=True):
        np.testing.assert_array_equal(a, b)


def test_no_ids(place):
    with xpnn.use(place):
        table = xpnn.tensor(TABLE, requires_grad=True)
        y = ops.embedding(table, xpnn.tensor(np.zeros((2, 0), np.int64)))
        assert y.shape == (2, 0, 2)
        y.sum().backward()
        assert not table.grad.numpy().any()


def test_the_layer(place):
    with xpnn.use(place):
        xpnn.seed(1)
        layer = nn.Embedding(1000, 20)
        assert abs(layer.table.numpy().std() - 1) < 0.05
        ids = np.array([[3, 4, 3]])
        np.testing.assert_array_equal(layer(xpnn.tensor(ids)).numpy(), layer.table.numpy()[ids])


def test_errors():
    table = xpnn.tensor(TABLE)
    with pytest.raises(DTypeError, match="embedding: expected integer ids; got float32"):
        ops.embedding(table, xpnn.tensor([1.0]))
    with pytest.raises(ShapeError, match=r"embedding: expected table \(V, E\)"):
        ops.embedding(table[0], [1])
    with pytest.raises(DTypeError, match="one_hot: expected integer ids"):
        ops.one_hot([0.5], 3)
    with pytest.raises(DTypeError, match="one_hot: expected float32 or float64; got int64"):
        ops.one_hot([1], 3, "int64")
    with pytest.raises(ConfigError, match="one_hot: expected classes >= 1; got 0"):
        ops.one_hot([1], 0)
    with pytest.raises(ConfigError, match="Embedding: expected features >= 1; got 0"):
        nn.Embedding(3, 0)
