"""The recurrent ops on sequences of unequal length: each as if it were alone, and padding that must not matter."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.core.op import REGISTRY
from xpnn.core.tape import apply

from .sequences import GATES, LENGTHS, PLACES, STATES, N, T, inputs, results, run


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reverse", [False, True], ids=["", "reverse"])
@pytest.mark.parametrize("name", GATES)
def test_a_batch_is_its_sequences_one_by_one(name, reverse, place):
    given = inputs(name, place)
    found = results(name, given, LENGTHS, reverse)
    summed = {k: np.zeros(given[k].shape) for k in given if k not in ("x", *STATES[name])}
    weights = np.random.default_rng(0)
    douts = [weights.normal(size=y.shape) for y in run(name, given, lengths=LENGTHS)]
    for n, length in enumerate(LENGTHS):
        assert not found["out 0"][n, length:].any()
        assert not found["dx"][n, length:].any()
        if not length:
            for i, state in enumerate(STATES[name], start=1):
                np.testing.assert_array_equal(found[f"out {i}"][n], given[state].numpy()[n])
                np.testing.assert_array_equal(found[f"d{state}"][n], douts[i][n])
            continue
        alone = {
            k: xpnn.tensor(t.numpy()[n : n + 1] if k in ("x", *STATES[name]) else t.numpy(), backend=place)
            for k, t in given.items()
        }
        alone["x"] = xpnn.tensor(alone["x"].numpy()[:, :length], backend=place)
        for t in alone.values():
            t.requires_grad = True
        outs = run(name, alone, reverse=reverse)
        np.testing.assert_allclose(found["out 0"][n, :length], outs[0].numpy()[0], atol=1e-14)
        mine = [douts[0][n : n + 1, :length], *[d[n : n + 1] for d in douts[1:]]]
        sum((y * d).sum() for y, d in zip(outs, mine, strict=True)).backward()
        np.testing.assert_allclose(found["dx"][n, :length], alone["x"].grad.numpy()[0], atol=1e-13)
        for i, state in enumerate(STATES[name], start=1):
            np.testing.assert_allclose(found[f"out {i}"][n], outs[i].numpy()[0], atol=1e-14)
            np.testing.assert_allclose(found[f"d{state}"][n], alone[state].grad.numpy()[0], atol=1e-13)
        for k in summed:
            summed[k] += alone[k].grad.numpy()
    for k, total in summed.items():
        np.testing.assert_allclose(found[f"d{k}"], total, atol=1e-12)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reverse", [False, True], ids=["", "reverse"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", GATES)
def test_nothing_in_the_padding_matters(name, dtype, reverse, place):
    """NaN, infinities and huge numbers there, in x and in the gradient that comes in: the same bits come out."""
    outs = []
    for poison in (0.0, np.nan, np.inf, 1e30):
        given = inputs(name, place, dtype)
        x = given["x"].numpy().copy()
        for n, length in enumerate(LENGTHS):
            x[n, length:] = poison
        given["x"].assign(x)
        y, *state = run(name, given, lengths=LENGTHS, reverse=reverse)
        dy = np.random.default_rng(1).normal(size=y.shape).astype(dtype)
        for n, length in enumerate(LENGTHS):
            dy[n, length:] = poison
        sum((s * s).sum() for s in state).backward(retain_graph=True)
        y.backward(dy)
        outs.append([t.numpy() for t in (y, *state)] + [t.grad.numpy() for t in given.values()])
    for other in outs[1:]:
        for a, b in zip(outs[0], other, strict=True):
            assert np.isfinite(a).all()
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
def test_full_lengths_and_none_are_the_same(name, place):
    given, again = inputs(name, place), inputs(name, place)
    for reverse in (False, True):
        full = results(name, given, np.full(N, T), reverse)
        for k, value in results(name, again, None, reverse).items():
            np.testing.assert_allclose(full[k], value, atol=1e-12, err_msg=k)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "int64"])
def test_lengths_of_any_integer_dtype(name, dtype, place):
    given = inputs(name, place)
    a, b = run(name, given, lengths=LENGTHS)[0], run(name, given, lengths=LENGTHS.astype(dtype))[0]
    np.testing.assert_array_equal(a.numpy(), b.numpy())
    c = run(name, given, lengths=LENGTHS.tolist())[0]
    np.testing.assert_array_equal(a.numpy(), c.numpy())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
def test_the_op_takes_the_nearest_length_where_nobody_looked(name, place):
    """As on a GPU, or in a recorded step: out of range must never mean out of memory."""
    given = inputs(name, place)
    attrs = REGISTRY[name].cases[0].attrs
    wild, tame = (xpnn.tensor(np.array(v), backend=place) for v in ([99, -7, 2**40, 3, 0], [T, 0, T, 3, 0]))
    pairs = zip(
        apply(REGISTRY[name], *given.values(), wild, **attrs),
        apply(REGISTRY[name], *given.values(), tame, **attrs),
        strict=True,
    )
    for a, b in pairs:
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    sum(t.sum() for t in apply(REGISTRY[name], *given.values(), wild, **attrs)).backward()
    assert all(np.isfinite(t.grad.numpy()).all() for t in given.values())


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
def test_nan_within_a_sequence_reaches_the_state_of_that_one_alone(name, place):
    given = inputs(name, place, "float32")
    x = given["x"].numpy().copy()
    x[3, 1, 0] = np.nan
    given["x"].assign(x)
    y, *state = (t.numpy() for t in run(name, given, lengths=LENGTHS))
    assert np.isnan(y[3, 1:4]).all()
    assert np.isfinite(y[3, :1]).all()
    assert not y[3, 4:].any()
    for s in state:
        assert np.isnan(s[3]).all()
    rest = np.arange(N) != 3
    for t in (y, *state):
        assert np.isfinite(t[rest]).all()
