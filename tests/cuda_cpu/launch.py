"""Launches of compiled CUDA sources: arguments as bytes, and three orders of threads that must agree bit for bit."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np

from cuda_cpu import build

ORDERS = ("forward", "backward", "shuffled")
SLOT = 16
"""Bytes for an argument, or a multiple. What it does not fill is set: who reads more than was passed reads garbage."""

_PYTHON = {bool: np.bool_, int: np.int64, float: np.float64, complex: np.complex128}


class LaunchError(Exception):
    """A kernel did what CUDA leaves undefined, or its result depends on the order of its threads."""


class _Launch(ctypes.Structure):
    _fields_ = (
        ("grid", ctypes.c_uint * 3),
        ("block", ctypes.c_uint * 3),
        ("shared_bytes", ctypes.c_uint),
        ("order", ctypes.c_uint),
        ("cooperative", ctypes.c_uint),
    )


def orders() -> tuple[str, ...]:
    """All three, or the one that XPNN_CUDA_ORDER names."""
    chosen = os.environ.get("XPNN_CUDA_ORDER")
    return ORDERS if chosen is None else (ORDERS[ORDERS.index(chosen)],)


def packed(args: Sequence[Any]) -> list[bytes]:
    """Arguments as CuPy hands them over: arrays (NumPy's here) as addresses, numbers and structs as their bytes.

    A Python float has 8 of them. A kernel that expects a float of 4 reads the lower half, and so it does here.
    """
    slots = []
    for x in args:
        if isinstance(x, np.ndarray):
            x = np.uintp(x.__array_interface__["data"][0])
        scalar = x if isinstance(x, np.generic) else _PYTHON[type(x)](x)
        slots.append(scalar.tobytes().ljust((scalar.nbytes // SLOT + 1) * SLOT, b"\xff"))
    return slots


class Module:
    """The kernels of one source: `module.run(name, grid, block, args, shared_bytes)`."""

    def __init__(self, text: str, names: Sequence[str], options: Sequence[str] = (), cooperative: bool = False) -> None:
        self.names, self.cooperative = list(names), cooperative
        self.library = build.library(text, names, options, cooperative)

    def run(
        self, name: str, grid: Sequence[int], block: Sequence[int], args: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        """args: NumPy arrays stand for memory on the device. The launch is repeated from the same memory in each order.

        Raises LaunchError in one line.
        """
        arrays = [x for x in args if isinstance(x, np.ndarray)]
        before = [x.copy() for x in arrays] if len(orders()) > 1 else []
        first: list[np.ndarray] = []
        for order in orders():
            if order != orders()[0]:
                for array, old in zip(arrays, before, strict=True):
                    array[...] = old
            self._once(name, grid, block, args, shared_bytes, order)
            if not first:
                first = [x.copy() for x in arrays]
            for i, (array, seen) in enumerate(zip(arrays, first, strict=True)):
                if array.tobytes() != seen.tobytes():
                    raise LaunchError(f"{name}: array {i} comes out otherwise in {order} order of threads: a race")

    def _once(self, name, grid, block, args, shared_bytes, order) -> None:
        slots = packed(args)
        memory = ctypes.create_string_buffer(b"".join(slots))
        places = accumulate(map(len, slots), initial=ctypes.addressof(memory))
        pointers = (ctypes.c_void_p * (len(args) + 1))(*places)
        three = [[*sizes, 1, 1][:3] for sizes in (grid, block)]
        wanted = _Launch(*[(ctypes.c_uint * 3)(*sizes) for sizes in three])
        wanted.shared_bytes, wanted.order, wanted.cooperative = shared_bytes, ORDERS.index(order), self.cooperative
        entry = getattr(self.library, f"cuda_cpu_run_{self.names.index(name)}")
        if entry(ctypes.byref(wanted), pointers):
            raise LaunchError(f"{name}: {self.library.cuda_cpu_message().decode()}")
