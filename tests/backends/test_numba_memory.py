"""Where the arrays of the numba backend lie."""

from __future__ import annotations

import numpy as np
import pytest

from xpnn.backends.numba import PAGE
from xpnn.core import backend
from xpnn.core.op import Spec


@pytest.mark.parametrize("dtype", ["float32", "float64", "int64"])
def test_large_arrays_are_aligned_and_apart(dtype):
    place, spec = backend.get("numba"), Spec((100, 4001), np.dtype(dtype))
    arrays = [place.empty(spec) for _ in range(4)]
    for array in arrays:
        assert (array.shape, array.dtype) == spec
        assert array.flags.c_contiguous
        assert array.flags.writeable
        assert array.ctypes.data % 64 == 0
        array[...] = 1  # all of it is there
    assert len({array.ctypes.data % PAGE for array in arrays}) == 4


@pytest.mark.parametrize("shape", [(), (0, 3), (5,)])
def test_small_arrays(shape):
    assert backend.get("numba").empty(Spec(shape, np.dtype("float32"))).shape == shape
