"""From whatever holds numbers to a Dataset, converting only where no value changes."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn.data.dataset import Dataset
from xpnn.errors import DataError


def from_arrays(x: Any, y: Any, **settings: Any) -> Dataset:
    """A Dataset from anything array-like, other element types converted where no value changes.

    Args:
        x: (N, ...). bool, and integers within 0..255, become uint8; other integers up to ±2²⁴ and float16
            become float32; uint8, float32 and float64 stay. A single feature may come as (N,).
        y: integer or bool labels (N,) or (N, 1), which become int64; integer (N, O) becomes float32 targets;
            float (N, O) stays.
        **settings: `scale`, `shift`, `classes`, `name` of the Dataset.

    Raises DataError, in one line, for what cannot be converted exactly (complex, text, objects, large
    integers).
    """
    name = settings.get("name", "data")
    x_array, y_array = _as_array(x, f"{name}: x"), _as_array(y, f"{name}: y")
    if x_array.ndim == 1:
        x_array = x_array[:, None]
    if y_array.dtype.kind in "iub":
        if y_array.ndim == 2 and y_array.shape[1] == 1:
            y_array = y_array[:, 0]
        if y_array.ndim == 2:
            y_array = y_array.astype(np.float32)
        elif y_array.ndim == 1:
            y_array = y_array.astype(np.int64)
    elif y_array.dtype.kind == "f":
        y_array = _native_float(y_array)
    return Dataset(_narrow(x_array, f"{name}: x"), y_array, **settings)


def _as_array(values: Any, what: str) -> np.ndarray:
    try:
        array = np.asarray(values)
    except Exception as error:  # ragged lists, foreign objects: whatever their __array__ raises
        raise DataError(f"{what}: not an array: {str(error).splitlines()[0]}") from error
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise DataError(f"{what}: expected numbers up to 64 bits; got {array.dtype}")
    return array


def _native_float(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float64 if array.dtype.itemsize == 8 else np.float32, copy=False)


def _narrow(array: np.ndarray, what: str) -> np.ndarray:
    """`array` in one of the three types that x may have, every value unchanged."""
    if array.dtype.kind == "f":
        return _native_float(array)
    if array.dtype.kind == "b" or array.size == 0:
        return array.astype(np.uint8)
    low, high = int(array.min()), int(array.max())
    if low >= 0 and high <= 255:
        return array.astype(np.uint8, copy=False)
    if max(-low, high) > 1 << 24:
        raise DataError(f"{what}: {array.dtype} values {low}..{high} are not exact in float32. Convert them first")
    return array.astype(np.float32)
