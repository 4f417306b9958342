"""Lack of memory is one line that says what was asked and what is free, wherever it is met."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest

import xpnn
from cuda_cpu import build, fake_cublaslt
from xpnn.backends.cupy import blas
from xpnn.core.functions import sin
from xpnn.errors import BackendError

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))


@pytest.mark.parametrize("ends", [True, False], ids=["a capture that ends", "one that cannot end any more"])
def test_in_the_capture_of_a_step(gpu, cupy, ends):
    """The step goes on launch by launch, and a launch that needs the memory says the same."""
    if not ends:
        cupy.cuda.streams.failure["end"] = cupy.cuda.runtime.CUDARuntimeError(901, "cudaErrorStreamCaptureInvalidated")
    gpu.override = lambda op: None  # references allocate
    step = xpnn.capture(lambda x: sin(x) + x)
    x = xpnn.tensor(np.ones(1000, "f4"), backend=gpu)
    step(x)
    bundled = gpu.bundled

    def short(calls):
        cupy.memory["free"] = 100
        try:
            return bundled(calls)
        finally:
            cupy.memory["free"] = 1 << 30

    expected = "cuda:1: out of memory in {}: asked for 4.0 kB; free are 100 bytes of 2.1 GB"
    with (
        mock.patch.object(gpu, "bundled", short),
        pytest.warns(RuntimeWarning, match="launch by launch.*: " + expected.format("the capture of a step")),
    ):
        step(x)
    cupy.memory["free"] = 100
    with pytest.raises(BackendError, match=expected.format("a recorded step")):
        step(x)
    cupy.memory["free"] = 1 << 30
    np.testing.assert_array_equal(step(x).numpy(), np.sin(np.ones(1000, "f4")) + 1)


def test_for_the_workspace_of_a_library(gpu, cupy):
    fake = fake_cublaslt.Lt(cupy.cuda)
    found = blas.Library(fake, fake_cublaslt.ComputeType, fake_cublaslt.CudaDataType)
    x = xpnn.tensor(np.ones((8, 8), "f4"), backend=gpu)
    with mock.patch.multiple(blas, LARGE=1, library=lambda device: found):
        cupy.memory["free"] = 1 << 20
        expected = r"out of memory in matmul: asked for 33\.6 MB; free are 1\.0 MB of 2\.1 GB"
        with pytest.raises(BackendError, match=expected):
            x @ x
        cupy.memory["free"] = 1 << 30
        np.testing.assert_array_equal((x @ x).numpy(), np.full((8, 8), 8.0))
