"""The stand-in for CuPy, as `cupy`, for one test."""

from __future__ import annotations

import pytest

from cuda_cpu import standin


@pytest.fixture
def cupy():
    with standin.installed(standin.load()) as fake:
        yield fake
