"""Sizes at which CUDA kernels take another way than in the sample cases: many classes, more elements than a grid."""

from __future__ import annotations

import pytest

from cuda_cpu import build, conformance
from xpnn.backends.cupy import module
from xpnn.core.op import Arg, Case

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))


def entropy(rows, C, target, reduction, smoothing=0.1):
    kind = Arg((rows,), "labels", high=C) if target == "labels" else Arg((rows, C), "simplex")
    return Case((Arg((rows, C)), kind), {"label_smoothing": smoothing, "reduction": reduction})


CASES = [
    *[(name, Case((Arg(shape),))) for name in ("softmax", "log_softmax") for shape in ((3, 1500), (1, 1024), (40, 1))],
    *[
        ("cross_entropy", entropy(rows, C, target, reduction))
        for target in ("labels", "targets")
        for rows, C, reduction in ((3, 1500, "mean"), (20, 1030, "sum"), (2, 2000, "none"), (600, 31, "mean"))
    ],
    ("relu", Case((Arg((263_001,)),))),  # more than 1024 blocks of 256
]


@pytest.mark.parametrize(("op", "case"), CASES, ids=lambda x: str(x))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes(op, case, dtype):
    conformance.parity(module.folder(), [op], [dtype], [case])
