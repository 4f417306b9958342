"""Tiles of which a part exists: what is beyond is neither read nor written, whatever the vectors' width."""

from __future__ import annotations

import ctypes
import mmap
import sys

import numpy as np
import pytest

from xpnn_kernels.numba import simd
from xpnn_kernels.numba.jit import kernel

ROWS, COLUMNS = 3, 2
zeros = simd.zeros(ROWS, COLUMNS)


@kernel
def copy(x, y, start, stride, rows, count):
    tile = simd.load(zeros(x), x, start, stride, rows, count)
    simd.store(tile, y, start, stride, rows, count)


@kernel
def spill(x, y, stride, rows, count):
    """All of the tile, so that the zeros beyond can be seen."""
    tile = simd.load(zeros(x), x, 0, stride, rows, count)
    simd.store(tile, y, 0, stride, ROWS, stride)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_every_size(dtype):
    lanes = simd.WIDTH // np.dtype(dtype).itemsize
    width = COLUMNS * lanes
    x = np.arange(1, 4 * width + 8, dtype=dtype)
    for rows in range(-1, ROWS + 2):
        for count in range(-1, width + 2):
            y = np.full_like(x, np.nan)
            copy(x, y, 5, width, rows, count)
            exists = np.zeros(x.size, bool)
            for r in range(min(max(rows, 0), ROWS)):
                exists[5 + r * width : 5 + r * width + min(max(count, 0), width)] = True
            np.testing.assert_array_equal(y, np.where(exists, x, np.nan))
            spill(x, y, width, rows, count)
            there = np.zeros((ROWS, width), bool)
            there[: max(rows, 0), : max(count, 0)] = True
            tile = x[: ROWS * width].reshape(ROWS, width)
            np.testing.assert_array_equal(y[: ROWS * width].reshape(ROWS, width), np.where(there, tile, 0))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_rows_that_follow_at_once(dtype):
    """They are written one over the end of the other; nothing is written behind the last that exists."""
    width = COLUMNS * simd.WIDTH // np.dtype(dtype).itemsize
    x = np.arange(1, 4 * width + 8, dtype=dtype)
    for rows in range(ROWS + 3):
        for count in range(1, width + 1):
            y = np.full_like(x, np.nan)
            copy(x, y, 5, count, rows, count)
            places, end = np.arange(x.size), 5 + min(rows, ROWS) * count
            np.testing.assert_array_equal(y, np.where((places >= 5) & (places < end), x, np.nan))


@pytest.mark.skipif(sys.platform == "win32", reason="protects a page of memory as POSIX does")
def test_nothing_is_read_beyond_the_end_of_memory():
    """Behind the array is a page that may not be touched."""
    pages = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    memory = np.frombuffer(pages, np.float32)
    memory[:] = 1
    end = memory.size // 2
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.mprotect(ctypes.c_void_p(memory[end:].ctypes.data), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    out = np.zeros(ROWS * COLUMNS * simd.WIDTH // 4, np.float32)
    for count in range(1, simd.WIDTH // 4):
        tail = memory[end - count : end]
        out[:] = 7
        copy(tail, out, 0, 0, 1, count)
        np.testing.assert_array_equal(out[: count + 1], [1] * count + [7])
        copy(np.ones(count, np.float32), tail, 0, 0, 1, count)
