"""Sizes at which CUDA kernels take another way than in the sample cases: many classes, more elements than a grid."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn.ops  # noqa: F401 - registers every op
from cuda_cpu.standin import Place
from xpnn import check
from xpnn.core.op import REGISTRY, Arg, Case, Kept

CUDA = Place()
pytestmark = pytest.mark.skipif(CUDA.backend is None, reason=str(CUDA.why_not))


def entropy(rows, C, target, reduction, smoothing=0.1):
    kind = Arg((rows,), "labels", high=C) if target == "labels" else Arg((rows, C), "simplex")
    return Case((Arg((rows, C)), kind), {"label_smoothing": smoothing, "reduction": reduction})


def attention(N, T, S, E, V, causal, lengths):
    more = (Arg((N,), "labels", S + 1),) if lengths else ()
    return Case((Arg((N, T, E)), Arg((N, S, E)), Arg((N, S, V)), *more), {"heads": 1, "causal": causal, "scale": 0.1})


def counted(name, n):
    """An update of many blocks, all of which read the counter that one of them advances."""
    first = REGISTRY[name].cases[0]
    return Case(tuple(Arg((n,), "positive") if arg.shape else arg for arg in first.args), {**first.attrs, "decayed": n})


def gathered(size):
    """The same of where a batch begins."""
    data, targets, order = Arg((90, 8, 5), "pixels"), Arg((90,), "labels", high=9), Arg((99,), "labels", high=90)
    return Case((data, targets, order, Arg((), "labels", high=30), Arg(()), Arg(())), {"size": size})


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
    ("adam", counted("adam", 1500)),
    ("gather", gathered(60)),
    ("hits", Case((Arg((2,), "labels"), Arg((300, 70)), Arg((300,), "labels", high=70)), {"k": 2})),
    ("hits", Case((Arg((2,), "labels"), Arg((9000, 2)), Arg((9000,), "labels", high=3)), {"k": 1})),
    ("confusion", Case((Arg((71, 71), "labels"), Arg((300, 70)), Arg((300,), "labels", high=72)))),
    ("subtract", Case((Arg((2, 3, 1, 5, 1)), Arg((4, 1, 3))))),
    ("subtract", Case((Arg((3, 1, 5, 1)), Arg((3, 4, 1, 2))))),  # four axes that do not merge
    ("subtract", Case((Arg((3, 1, 5, 1, 2)), Arg((1, 4, 1, 2, 1))))),  # five: the reference does it
    ("divide", Case((Arg((6, 3, 7, 5)), Arg((3, 1, 5), "positive")))),
    (
        "max_pool2d",
        Case((Arg((1, 9, 9, 3300), "few"),), {"window": (2, 3), "stride": (1, 1), "padding": ((0, 1), (1, 0))}),
    ),
    *[("batch_norm", Case((Arg((R, C)), Arg((C,)), Arg((C,))), {"eps": 1e-5})) for R, C in ((2500, 1), (1100, 40))],
    *[
        ("layer_norm", Case((Arg((R, C)), Arg((C,)), Arg((C,))), {"eps": 1e-5}))
        for R, C in ((5, 300), (1030, 257), (3, 2050))
    ],
    *[
        (name, Case((Arg(shape, "apart"),), {"axis": axis, "keepdims": False}))
        for name, shape, axis in (
            ("sum", (40, 1000), (0, 1)),
            ("mean", (3000, 5), (0,)),
            ("max", (5, 2, 3000), (0, 2)),
            ("min", (3, 700, 2, 41), (1, 3)),
            ("mean", (2, 3, 2, 3, 2), (0, 2, 4)),  # too many axes: the reference does it
        )
    ],
    ("argmax", Case((Arg((7, 700), "few"),), {"axis": 1})),
    ("argmin", Case((Arg((70, 40), "few"),), {"axis": 0})),
    *[
        ("embedding", Case((Arg((V, E)), Arg((P,), "labels", high=high))))
        for V, E, P, high in ((5, 3, 600, 4), (400, 2, 300, 20), (30, 300, 9, 4))
    ],
    *[
        ("group_norm", Case((Arg((N, P, C)), Arg((C,)), Arg((C,))), {"groups": G, "eps": 1e-5}))
        for N, P, C, G in ((2, 7, 80, 2), (3, 150, 100, 1), (2, 9, 36, 36), (40, 2, 33, 11))
    ],
]


@pytest.mark.parametrize(("op", "case"), CASES, ids=lambda x: str(x))
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_sizes(op, case, dtype):
    with CUDA.ready():
        check.parity(REGISTRY[op], case, CUDA.backend, dtype)


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
@pytest.mark.parametrize(("op", "C"), [("cross_entropy", 30), ("cross_entropy", 1100), ("hits", 30), ("confusion", 30)])
def test_labels_of_other_dtypes_are_the_same_labels(op, C, dtype):
    gpu, record = CUDA.backend, REGISTRY[op]
    loss = op == "cross_entropy"
    attrs = {"label_smoothing": 0.1, "reduction": "none"} if loss else {"k": 2} if op == "hits" else {}
    before = [] if loss else [np.zeros(2 if op == "hits" else (C + 1, C + 1), "i8")]
    x, labels = np.random.default_rng(1).normal(size=(5, C)).astype("f4"), np.array([0, 3, 29, 7, 7])
    with CUDA.ready():
        answers = []
        for given in (labels, labels.astype(dtype)):
            there = [gpu.from_host(array) for array in (*before, x, given)]
            outs, saved = gpu.forward(record, there, attrs)
            found = list(outs)
            if loss:
                kept = Kept((None, there[1]), (None,), saved, check.specs_of([x, given]))
                found += gpu.backward(record, (True, False), outs, kept, attrs, [None, None])[:1]
            answers.append([gpu.to_host(array) for array in found])
    for one, other in zip(*answers, strict=True):
        np.testing.assert_array_equal(one, other)
