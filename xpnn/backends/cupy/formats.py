"""What multiplies: the formats of operands, by which the kernels that make products are instantiated (mma.cuh)."""

from __future__ import annotations

import sys
from functools import cache

import numpy as np

from xpnn.backends.cupy.module import REAL

ROUNDED = {"tf32": "Tf32", "bf16": "Bf16", "fp16": "Fp16"}
"""By the precision that allows it: float32 in memory, rounded on the way to tensor cores."""

FORMATS = (*REAL, *ROUNDED.values())
LEAST = {"Tf32": 80, "Bf16": 80, "Fp16": 75}
"""The architecture from which on tensor cores have it: instantiations by it are neither built nor asked for below."""


def format_of(dtype: np.dtype, precision: str) -> str:
    """The format for arrays of this dtype on the current GPU: their own, where tensor cores have no other for them."""
    rounded = ROUNDED.get(precision)
    if rounded is None or dtype != np.float32 or not has(architecture(_device()), rounded):
        return REAL[dtype.itemsize == 8]
    return rounded


def has(architecture: int, name: str) -> bool:
    """Does an architecture (86 for sm_86) have this format, or what an instantiation is by: "product<Bf16, 64>"?"""
    return architecture >= LEAST.get(name.partition("<")[2].partition(",")[0].rstrip(">") or name, 0)


def _device() -> int:
    return sys.modules["cupy"].cuda.runtime.getDevice()


@cache
def architecture(device: int) -> int:
    """86 for sm_86."""
    return int(sys.modules["cupy"].cuda.Device(device).compute_capability)
