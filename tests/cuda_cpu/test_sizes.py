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


def attention(N, T, S, E, V, causal, lengths):
    more = (Arg((N,), "labels", S + 1),) if lengths else ()
    return Case((Arg((N, T, E)), Arg((N, S, E)), Arg((N, S, V)), *more), {"heads": 1, "causal": causal, "scale": 0.1})


CASES = [
    ("attention", attention(1, 3, 70, 65, 3, True, False)),  # more features than a tile
    ("attention", attention(2, 66, 2, 2, 67, False, True)),
    *[(name, Case((Arg(shape),))) for name in ("softmax", "log_softmax") for shape in ((3, 1500), (1, 1024), (40, 1))],
    *[
        ("cross_entropy", entropy(rows, C, target, reduction))
        for target in ("labels", "targets")
        for rows, C, reduction in ((3, 1500, "mean"), (20, 1030, "sum"), (2, 2000, "none"), (600, 31, "mean"))
    ],
    ("relu", Case((Arg((263_001,), "apart"),))),  # more than 1024 blocks of 256
    ("clip_norm", Case((Arg((66_001,)),), {"limit": 3.0})),
    ("mean_squared_error", Case((Arg((90, 1001)), Arg((90, 1001))), {"reduction": "mean"})),
    ("half_sum_of_squares", Case((Arg((9, 10_001)), Arg((9, 10_001))), {"reduction": "sum"})),
    ("half_sum_of_squares", Case((Arg((70, 3)), Arg((70, 3))), {"reduction": "none"})),
    ("hits", Case((Arg((300, 70)), Arg((300,), "labels", high=70)))),
    ("subtract", Case((Arg((2, 3, 1, 5, 1)), Arg((4, 1, 3))))),
    ("subtract", Case((Arg((3, 1, 5, 1)), Arg((3, 4, 1, 2))))),  # four axes that do not merge
    ("subtract", Case((Arg((3, 1, 5, 1, 2)), Arg((1, 4, 1, 2, 1))))),  # five: the reference does it
    ("divide", Case((Arg((6, 3, 7, 5)), Arg((3, 1, 5), "positive")))),
]


@pytest.mark.parametrize(("op", "case"), CASES, ids=lambda x: str(x))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes(op, case, dtype):
    conformance.parity(module.folder(), [op], [dtype], [case])
