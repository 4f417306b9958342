"""The stand-in for CuPy, in the place of the real one for one test."""

from __future__ import annotations

import pytest

from cuda_cpu import standin
from xpnn.core import backend as backends


@pytest.fixture
def cupy():
    """The fake, fresh: `xpnn` finds it as `cupy`, with two GPUs and nothing wrong."""
    with standin.installed(standin.load()) as fake:
        yield fake


@pytest.fixture
def gpu(cupy):
    place = backends.get("cuda:1")
    cupy.transfers.clear()
    return place
