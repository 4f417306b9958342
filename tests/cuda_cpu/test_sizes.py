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
    # Gradients that are summed: in parts, over many rows and over the elements of one, over axes that lie apart.
    ("multiply", Case((Arg((40, 7, 64)), Arg((64,))))),
    ("divide", Case((Arg((9000, 3)), Arg((3,), "positive")))),
    ("multiply", Case((Arg(()), Arg((5, 2000))))),
    ("maximum", Case((Arg((6, 1100), "few"), Arg((6, 1), "few")))),
    ("minimum", Case((Arg((7, 30), "few"), Arg((7, 30), "few")))),
    ("power", Case((Arg((3, 1, 5, 1), "positive"), Arg((3, 4, 1, 2), "positive")))),
    ("multiply", Case((Arg((2, 5, 6, 3)), Arg((2, 1, 1, 3))))),
    ("add", Case((Arg((0, 5)), Arg((5,))))),  # sums of nothing
    ("where", Case((Arg((4, 1, 5), "bool"), Arg((300, 1, 1, 5)), Arg((4, 7, 1))))),
    ("where", Case((Arg((3, 1, 5, 1, 2), "bool"), Arg((1, 4, 1, 2, 1)), Arg(())))),  # five axes: the reference does it
    *[
        ("index", Case((Arg((3, 4, 5, 6, 7)),), {"key": key}))
        for key in (
            (Ellipsis, ("slice", None, None, 2)),
            (1, ("slice", None, None, None), ("slice", 4, 0, -3), -2),
            (("slice", 2, 2, None),),
            (("slice", 1, None, None), ("slice", 0, 9, 3), None, 2, ("slice", -2, None, None), 0),  # five axes
        )
    ],
    ("index", Case((Arg(()),), {"key": (None, Ellipsis)})),
    ("concat", Case((Arg((2, 3, 4)), Arg((2, 0, 4)), Arg((2, 5, 4))), {"axis": 1})),
    ("take", Case((Arg((300, 2, 70)), Arg((400,), "labels", high=2)), {"axis": 1})),
    ("take", Case((Arg((3, 5)), Arg((0,), "labels")), {"axis": 1})),
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
    *[  # few results of many elements
        (name, Case((Arg(shape, "few"),), {"axis": axis}))
        for name, shape, axis in (
            ("argmax", (9000,), 0),
            ("argmin", (300_000, 3), 0),
            ("argmin", (3, 70_000), 1),
            ("argmax", (4, 50_257), 1),
        )
    ],
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


def test_a_row_of_nan_is_never_right():
    """However many classes: 50257 squared is beyond 32 bits."""
    gpu, C = CUDA.backend, 50_257
    scores = np.full((3, C), np.nan, "f4")
    scores[0], scores[1, 1:] = 0, 1  # no NaN; one; nothing else
    scores[0, 7] = 1
    with CUDA.ready():
        given = [gpu.from_host(array) for array in (np.zeros(2, "i8"), scores, np.array([7, 7, 7]))]
        counts = gpu.to_host(gpu.forward(REGISTRY["hits"], given, {"k": 1})[0][0])
    np.testing.assert_array_equal(counts, [1, 3])


WHOLE = {
    "add": {},
    "subtract": {},
    "multiply": {},
    "maximum": {},
    "minimum": {},
    **{name: {} for name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal")},
    "where": {},
    "sum": {"axis": (0, 1), "keepdims": False},
    "concat": {"axis": 1},
    "take": {"axis": 1},
    "astype": {"dtype": "float32"},
}
"""Ops that have kernels for whole numbers, with attributes."""


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "bool"])
@pytest.mark.parametrize("name", WHOLE)
def test_whole_numbers(name, dtype):
    """By a kernel, and what the reference gives."""
    op, rng = REGISTRY[name], np.random.default_rng(2)
    if dtype == "bool" and name in list(WHOLE)[:5]:
        pytest.skip("no arithmetic of bools")
    x, y = (rng.integers(0, 2 if dtype == "bool" else 100, size).astype(dtype) for size in ((70, 90), (90,)))
    given = {"where": [x > x.mean(), x, y], "sum": [x], "astype": [x], "take": [x, np.array([3, -1, 0, 3])]}
    inputs = given.get(name, [x, x] if name == "concat" else [x, y])
    want = op.forward(np, *inputs, **WHOLE[name])[0][0]
    with CUDA.ready():
        gpu = CUDA.backend
        assert gpu.route(op, tuple(check.specs_of(inputs)), WHOLE[name]).override is not None
        got = gpu.to_host(gpu.forward(op, [gpu.from_host(i) for i in inputs], WHOLE[name])[0][0])
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "bool"])
def test_astype_from_and_to_everything(dtype):
    x = np.array([0, 1, 2, 100, 0.5]).astype(dtype)
    with CUDA.ready():
        for other in ("float32", "float64", "int32", "int64", "uint8", "bool"):
            got = CUDA.backend.forward(REGISTRY["astype"], [CUDA.backend.from_host(x)], {"dtype": other})[0][0]
            np.testing.assert_array_equal(CUDA.backend.to_host(got), x.astype(other))


def test_take_counts_from_the_end_and_marks_what_is_not_there():
    gpu, op = CUDA.backend, REGISTRY["take"]
    x, indices = np.arange(6, dtype="f4").reshape(2, 3), np.array([-1, 2, -3, 3, -4])
    with CUDA.ready():
        there = [gpu.from_host(x), gpu.from_host(indices)]
        for given, nothing in ((x, np.nan), (x.astype("i4"), -1)):
            got = gpu.to_host(gpu.forward(op, [gpu.from_host(given), there[1]], {"axis": 1})[0][0])
            np.testing.assert_array_equal(got, [[2, 2, 0, nothing, nothing], [5, 5, 3, nothing, nothing]])
        kept = Kept((None, there[1]), (None,), (), check.specs_of([x, indices]))
        dy = gpu.from_host(np.arange(10, dtype="f4").reshape(2, 5))
        dx = gpu.to_host(gpu.backward(op, (True, False), (dy,), kept, {"axis": 1}, [None, None])[0])
    np.testing.assert_array_equal(dx, [[2, 0, 1], [7, 0, 11]])
