"""Every test here runs over the whole registry: a test that asks for `op` and `case` gets each sample case of each op.

`place`: every backend that can be used on this machine, and the CUDA backend also without a GPU: on a stand-in for
CuPy, its kernels run by the CPU. `dtype`: float32 and float64.
"""

from __future__ import annotations

import pytest

import xpnn.ops  # noqa: F401 - registers every op
from cuda_cpu.standin import Place
from xpnn.core import backend
from xpnn.core.op import REGISTRY
from xpnn.errors import BackendError

DTYPES = ("float32", "float64")


def usable():
    """(the backends that answer, {name of one that does not: why})."""
    found, missing = [], {}
    for name in backend.names():
        try:
            found.append(backend.get(name))
        except BackendError as error:
            missing[name] = str(error)
    return found, missing


USABLE, MISSING = usable()
CUDA = Place()
if CUDA.fake is not None:
    USABLE.append(CUDA.backend)
    MISSING["cupy"] += "; its kernels were run by the CPU"
elif CUDA.backend is None:
    MISSING["cupy"] += f"; {CUDA.why_not}"


def pytest_generate_tests(metafunc):
    names = metafunc.fixturenames
    if "case" in names:
        rows = [(op, case) for _, op in sorted(REGISTRY.items()) for case in op.cases]
        metafunc.parametrize(("op", "case"), rows, ids=[f"{op.name}[{case}]" for op, case in rows])
    elif "op" in names:
        metafunc.parametrize("op", [op for _, op in sorted(REGISTRY.items())], ids=lambda op: op.name)
    if "place" in names:
        metafunc.parametrize("place", USABLE, ids=lambda place: place.device)
    if "dtype" in names:
        metafunc.parametrize("dtype", DTYPES)


@pytest.fixture(autouse=True)
def cuda():
    with CUDA.ready():
        yield


@pytest.fixture(scope="session")
def usable_backends():
    return USABLE


@pytest.fixture(scope="session")
def missing_backends():
    return MISSING
