"""Tensors out of numbers, lists and arrays, and back: dtypes, copies, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.errors import DTypeError, ShapeError, XpnnError

from .conftest import f32

# Made -----------------------------------------------------------------------------------------------------------------


def test_numbers_and_lists():
    assert xpnn.tensor([1.5, 2]).dtype == np.dtype("float32")
    assert xpnn.tensor([1, 2]).dtype == np.dtype("int64")
    assert xpnn.tensor(np.array([1.5])).dtype == np.dtype("float64")
    assert xpnn.tensor(np.array([1.5], ">f4")).dtype == np.dtype("float32")
    assert xpnn.tensor(np.array([1.5], ">f4")).item() == 1.5
    for wrong in ("abc", [None], [[1], [2, 3]], [1 + 2j], object()):
        with pytest.raises((DTypeError, ShapeError)):
            xpnn.tensor(wrong)
    with pytest.raises(DTypeError):
        xpnn.tensor([1, 2], requires_grad=True)


def test_a_new_tensor_from_a_tensor_is_apart_from_it():
    x = f32(1, 2)
    y = xpnn.tensor(x)
    x.data[0] = 99
    assert y.numpy().tolist() == [1, 2]


@pytest.mark.parametrize("place", ["numpy", "numba"])
@pytest.mark.parametrize("dtype", [None, "float32", "float64"])
def test_a_new_tensor_from_an_array_is_apart_from_it(place, dtype):
    a = np.arange(6, dtype="float32").reshape(2, 3)
    for source in (a, a.T, memoryview(a), xpnn.tensor(a).detach()):
        before = np.asarray(source).tolist()
        x = xpnn.tensor(source, dtype, place)
        assert not np.shares_memory(x.data, source.data if isinstance(source, xpnn.Tensor) else source)
        assert x.data.flags.c_contiguous
        x.assign(np.zeros(x.shape))
        assert np.asarray(source).tolist() == before


def test_read_only_arrays_are_copied():
    a = np.array([1.0, 2.0])
    a.flags.writeable = False
    assert xpnn.tensor(a).data.flags.writeable


# Read -----------------------------------------------------------------------------------------------------------------


def test_one_value_as_a_number_of_python():
    assert float(f32(2.5)[0]) == 2.5
    assert int(f32(2.5)) == 2
    assert [10, 20, 30][xpnn.tensor(1)] == 20
    for convert in (float, int, xpnn.Tensor.item):
        with pytest.raises(ShapeError, match="item: expected one element"):
            convert(f32(1, 2))
    with pytest.raises(DTypeError, match="whole number"):
        [10, 20][f32(1)]


def test_numpy_refuses_a_tensor_with_a_graph():
    x = xpnn.tensor([1.0, 2.0], requires_grad=True)
    with pytest.raises(XpnnError, match=r"\.numpy\(\)"):
        np.asarray(x * 2)
    assert np.asarray(xpnn.tensor([1.0, 2.0])).tolist() == [1, 2]
