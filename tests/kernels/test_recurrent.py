"""The recurrent kernels: the reference's numbers, the same bits on any number of threads, no way between sequences."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn.ops  # noqa: F401 - registers every op
from xpnn.check_cases import specs_of, wide
from xpnn.core import backend
from xpnn.core.op import REGISTRY, Kept
from xpnn_kernels.numba import gemm, threads

GATES = {"rnn": 1, "gru": 3, "lstm": 4}
SIZES = ((37, 3, 9, 19), (5, 4, 70, 33), (1, 1, 1, 1), (9, 2, 17, 64), (67, 2, 33, 320))
"""The last has more sequences than sums are put by for, and more weights than stay in L2."""


@pytest.fixture(autouse=True)
def every_size_is_split(monkeypatch):
    monkeypatch.setattr(gemm, "SMALL", 0)


def draw(name, N, T, I, H, dtype="float32", lengths=False):
    """The inputs, and gradients of the outputs."""
    rng, O = np.random.default_rng(3), GATES[name] * H
    state, states = (N, H), 2 if name == "lstm" else 1
    shapes = [(N, T, I), (I, O), (H, O), (O,), *[(H,)] * (name == "gru"), *[state] * states]
    inputs = [np.asarray(rng.standard_normal(shape) / np.sqrt(H), dtype) for shape in shapes]
    douts = [np.asarray(rng.standard_normal(shape), dtype) for shape in [(N, T, H), *[state] * states]]
    return [*inputs, *([rng.integers(0, T + 1, N)] if lengths else [])], douts


def compute(name, inputs, douts, reverse=False, place="numba"):
    """The outputs and the gradients of all that has one."""
    op, place = REGISTRY[name], backend.get(place)
    attrs = {"reverse": reverse, **({"activation": "tanh"} if name == "rnn" else {})}
    outs, saved = place.forward(op, inputs, attrs)
    kept = Kept(tuple(inputs), outs, saved, specs_of(inputs))
    wanted = tuple(x.dtype.kind == "f" for x in inputs)
    grads = place.backward(op, wanted, douts, kept, attrs, [None] * len(inputs))
    return [*outs, *(grad for grad in grads if grad is not None)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_any_sizes_and_threads(name, lengths, reverse, dtype, monkeypatch):
    for size in SIZES:
        inputs, douts = draw(name, *size, dtype, lengths)
        runs = []
        for n in (1, 2, 3):
            monkeypatch.setattr(threads, "threads", lambda *_, n=n: n)
            runs.append(compute(name, inputs, douts, reverse))
        exact = compute(name, [wide(x) for x in inputs], [wide(d) for d in douts], reverse, "numpy")
        for got, *others, want in zip(*runs, exact, strict=True):
            assert all(got.tobytes() == other.tobytes() for other in others), "the bits depend on the threads"
            assert abs(got - want).max() <= 50 * np.finfo(dtype).eps * max(abs(want).max(), 1)


@pytest.mark.parametrize("name", GATES)
def test_nan_stays_in_its_sequence(name):
    inputs, douts = draw(name, 9, 4, 5, 18)
    clean = compute(name, inputs, douts)
    inputs[0][6, 2, 3] = np.nan
    bad = compute(name, inputs, douts)
    y, dx, dw = bad[0], bad[len(douts)], bad[len(douts) + 1]
    others = np.arange(9) != 6
    assert np.isnan(y[6, 2:]).all()
    assert (y[6, :2] == clean[0][6, :2]).all()
    assert (y[others] == clean[0][others]).all()
    assert (dx[others] == clean[len(douts)][others]).all()
    assert np.isnan(dw).any()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", GATES)
def test_padding_is_not_read(name, reverse):
    inputs, douts = draw(name, 9, 4, 5, 18, lengths=True)
    clean = compute(name, inputs, douts, reverse)
    beyond = np.arange(4) >= inputs[-1][:, None]
    inputs[0][beyond] = np.nan
    douts[0][beyond] = np.nan
    for got, want in zip(compute(name, inputs, douts, reverse), clean, strict=True):
        assert got.tobytes() == want.tobytes()
    assert (clean[0][beyond] == 0).all()
    assert (clean[len(douts)][beyond] == 0).all()


@pytest.mark.parametrize("name", GATES)
def test_lengths_of_any_integers_are_held_within_the_sequence(name):
    inputs, douts = draw(name, 6, 4, 5, 7, lengths=True)
    inputs[-1] = np.array([-3, 0, 1, 3, 4, 99], np.int32)
    got = compute(name, inputs, douts)
    inputs[-1] = np.array([0, 0, 1, 3, 4, 4])
    for one, other in zip(got, compute(name, inputs, douts), strict=True):
        assert one.tobytes() == other.tobytes()
