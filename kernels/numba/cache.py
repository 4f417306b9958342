"""How much of the last cache is ours, and so what is written past it.

What a processor says of its last cache is no promise: on a rented machine strangers may use it all. Average pooling of
9 MB, forward and backward, on two such machines of two cores and 32 MB of cache: 0.25 ms with ordinary stores and 0.44
past the caches on the one, 1.7 and 1.3 on the other. So it is tried, once a process and only when arrays are large
enough for it to matter. The least of several times counts, and ordinary stores are left only for a gain of a quarter:
who else is busy while it is tried should not decide.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from time import perf_counter

import numpy as np

from xpnn_kernels.numba import simd, stream
from xpnn_kernels.numba.split import on_threads
from xpnn_kernels.numba.threads import threads

UNKNOWN = 16 << 20
"""Bytes of a last cache that nothing is said of."""
SHARE = 4
"""Where strangers use the cache, this part of it is counted on."""
TRIAL = 8 << 20
"""Bytes of each array of the trial, at most."""
GAIN = 1.25
APPLYING, TRAINING = 2, 4
"""Arrays like x that an op touches before it comes again: x and y, and with its backward their gradients."""
four = simd.zeros(1, 4)


@on_threads
def copy(thread, threads, x, y, past):
    tile = four(x)
    for i in range(thread * x.size // threads, (thread + 1) * x.size // threads, simd.span(tile)):
        stream.store(simd.load(tile, x, i, 0, 1, x.size - i), y, i, x.size - i, past)
    stream.settle()


@cache
def last() -> int:
    """Bytes of the last cache."""
    try:
        for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
            if (index / "level").read_text().strip() == "3":
                return int((index / "size").read_text().strip().removesuffix("K")) << 10
    except (OSError, ValueError):
        pass
    return UNKNOWN  # a second level is no last one: virtual machines hide the third


@cache
def usable() -> int:
    """Bytes of the last cache that stay in it: three quarters, if what fits there is not written faster past it."""
    x, y = (aligned(min(last() // 4, TRIAL)) for _ in range(2))
    x[:], y[:] = 1, 1
    took: dict[bool, list[float]] = {False: [], True: []}
    for _ in range(7):
        for past, times in took.items():
            copy(threads(x.size, 1), x, y, past)  # what the other way has left behind
            start = perf_counter()
            copy(threads(x.size, 1), x, y, past)
            times.append(perf_counter() - start)
    return last() // SHARE if min(took[False]) > GAIN * min(took[True]) else last() // 4 * 3


def aligned(nbytes: int) -> np.ndarray:
    """An unset array of float32 that begins on a line of the cache."""
    memory = np.empty(nbytes + stream.LINE, np.uint8)
    start = -memory.ctypes.data % stream.LINE
    return memory[start : start + nbytes].view(np.float32)


def past(y: np.ndarray, touched: int) -> bool:
    """Are the rows of y, along its last axis, to be written past the caches? Not while everything fits there that is
    touched between two uses of y, so many bytes. The rows must begin on lines."""
    if touched <= last() // SHARE or touched <= usable():
        return False
    row = y.shape[-1] * y.itemsize
    return row % stream.LINE == 0 and y.__array_interface__["data"][0] % stream.LINE == 0
