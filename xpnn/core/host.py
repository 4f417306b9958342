"""Numbers of the host as arrays: what is taken for one, and in which dtype."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.core import backend as backends
from xpnn.errors import BackendError, DTypeError, ShapeError


def host_numbers(data: Any) -> np.ndarray:
    """What NumPy makes of it; ShapeError for lists of unequal lengths, BackendError for an array of a device."""
    try:
        return np.asarray(data)
    except ValueError:  # of lists
        raise ShapeError("tensor: expected lists of one length on each level; got some longer than others") from None
    except TypeError:  # another backend's array, which does not let itself be copied unasked
        kind, here = type(data), backends.current().device
        raise BackendError(
            f"tensor: expected numbers or an array on the host; got {kind.__module__}.{kind.__name__}. "
            f"Make it a tensor where it lives, then move it: xpnn.tensor(x, backend='cuda:0').to('{here}')"
        ) from None


def host_array(data: Any, dtype: Any, copy: bool = False) -> np.ndarray:
    """The numbers as an array of this dtype; unless `copy`, it may share memory with what was given.

    DTypeError for what is no number.
    """
    array = host_numbers(data)
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"tensor: expected numbers; got {type(data).__name__} of dtype {array.dtype}")
    if dtype is None:
        listed = not isinstance(data, (np.ndarray, np.generic))
        dtype = np.dtype("float32") if listed and array.dtype.kind == "f" else array.dtype.newbyteorder("=")
    if copy:
        return array.astype(dtype, order="C")
    array = array.astype(dtype, copy=False)
    # A read-only or misaligned array (a memory map, bytes of a file) would be another type to compiled kernels.
    return array if array.flags.writeable and array.flags.aligned else array.copy()
