"""`place`: every backend that can be used on this machine, in turn the one in use; CUDA also without a GPU, its kernels
run by the CPU."""

from __future__ import annotations

import pytest

import xpnn
from cuda_cpu.standin import Place
from xpnn.core import backend as backends
from xpnn.errors import BackendError

CUDA = Place()


@pytest.fixture(params=backends.BUILT_IN)
def place(request):
    if request.param == "cupy":
        if CUDA.backend is None:
            pytest.skip(str(CUDA.why_not))
        with CUDA.ready(), xpnn.use(CUDA.backend):
            yield CUDA.backend
        return
    try:
        found = backends.get(request.param)
    except BackendError as error:
        pytest.skip(str(error))
    with xpnn.use(found):
        yield found
