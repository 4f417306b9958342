"""The recurrent ops: values by hand, sequences of unequal length, padding that must not matter, and errors."""

from __future__ import annotations

from math import exp, tanh

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.core.op import REGISTRY
from xpnn.core.tape import apply
from xpnn.errors import ConfigError, DTypeError, ShapeError

PLACES = ["numpy", "numba"]
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
STATES = {"rnn": ("h0",), "lstm": ("h0", "c0"), "gru": ("h0",)}
N, T, I, H = 5, 6, 3, 4
LENGTHS = np.array([6, 0, 1, 4, 3])


def sigmoid(x):
    return 1 / (1 + exp(-x))


def inputs(name, place="numpy", dtype="float64", shape=(N, T, I, H)):
    """Everything an op takes but for lengths, by name, as tensors that want a gradient."""
    N, T, I, H = shape
    rng, wide = np.random.default_rng(len(name)), GATES[name] * H
    shapes = {"x": (N, T, I), "w": (I, wide), "u": (H, wide), "b": (wide,)}
    shapes |= {"bn": (H,)} if name == "gru" else {}
    shapes |= dict.fromkeys(STATES[name], (N, H))
    return {k: xpnn.tensor(rng.normal(size=s), dtype, place, requires_grad=True) for k, s in shapes.items()}


def run(name, given, **settings):
    return getattr(ops, name)(**given, **settings)


def results(name, given, lengths, reverse=False):
    """Outputs and gradients of one call, by name."""
    outs = run(name, given, lengths=lengths, reverse=reverse)
    rng = np.random.default_rng(0)
    sum((y * rng.normal(size=y.shape).astype(y.dtype)).sum() for y in outs).backward()
    return {f"out {i}": y.numpy() for i, y in enumerate(outs)} | {f"d{k}": t.grad.numpy() for k, t in given.items()}


# By hand --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
def test_one_unit_over_two_steps_is_the_formula(place):
    """Each gate with weights of its own, so that no order of gates but the documented one gives these numbers."""
    x1, x2 = 0.5, -1.5
    with xpnn.use(place):
        x = xpnn.tensor([[[x1], [x2]]], "float64")
        w, u = xpnn.tensor([[0.1, 0.2, 0.3, 0.4]], "float64"), xpnn.tensor([[0.5, -0.6, 0.7, -0.8]], "float64")
        b, bn = xpnn.tensor([0.01, 0.02, 0.03, 0.04], "float64"), xpnn.tensor([0.9], "float64")
        h = c = 0.25
        begin = xpnn.tensor([[0.25]], "float64")
        y, *state = ops.lstm(x, w, u, b, begin, begin)
        for t, v in enumerate((x1, x2)):
            i, f = sigmoid(0.1 * v + 0.5 * h + 0.01), sigmoid(0.2 * v - 0.6 * h + 0.02)
            g, o = tanh(0.3 * v + 0.7 * h + 0.03), sigmoid(0.4 * v - 0.8 * h + 0.04)
            c = f * c + i * g
            h = o * tanh(c)
            assert y[0, t, 0].item() == pytest.approx(h, abs=1e-15)
        assert [s.item() for s in state] == pytest.approx([h, c], abs=1e-15)

        h = 0.25
        y, last = ops.gru(x, xpnn.tensor(w.numpy()[:, :3]), xpnn.tensor(u.numpy()[:, :3]), b[:3], bn, begin)
        for t, v in enumerate((x1, x2)):
            r, z = sigmoid(0.1 * v + 0.5 * h + 0.01), sigmoid(0.2 * v - 0.6 * h + 0.02)
            n = tanh(0.3 * v + 0.03 + r * (0.7 * h + 0.9))
            h = (1 - z) * n + z * h
            assert y[0, t, 0].item() == pytest.approx(h, abs=1e-15)
        assert last.item() == pytest.approx(h, abs=1e-15)

        for activation, f in (("tanh", tanh), ("relu", lambda a: max(a, 0.0))):
            h = 0.25
            y, last = ops.rnn(x, w[:, :1], u[:, :1], b[:1], begin, activation=activation)
            for t, v in enumerate((x1, x2)):
                h = f(0.1 * v + 0.5 * h + 0.01)
                assert y[0, t, 0].item() == pytest.approx(h, abs=1e-15)
            assert last.item() == pytest.approx(h, abs=1e-15)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
def test_a_state_left_out_is_zeros(name, place):
    given = inputs(name, place)
    plain = {k: t for k, t in given.items() if k not in STATES[name]}
    zeros = {k: xpnn.tensor(np.zeros((N, H)), backend=place) for k in STATES[name]}
    for a, b in zip(run(name, plain), run(name, plain | zeros), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


# Unequal lengths ------------------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
def test_no_sequences_at_all(name, place):
    given = inputs(name, place, shape=(0, T, I, H))
    found = results(name, given, None)
    assert (found["out 0"].shape, found["out 1"].shape) == ((0, T, H), (0, H))
    assert not any(found[k].any() for k in ("dw", "du", "db"))


# Extremes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("size", [1e2, 1e4, 1e30])
def test_saturated_gates_stay_finite(name, size, place):
    given = inputs(name, place, "float32")
    given["x"].assign(given["x"].numpy() * np.float32(size))
    with np.errstate(over="ignore"):
        outs = run(name, given)
        sum(y.sum() for y in outs).backward()
    assert all(np.isfinite(y.numpy()).all() for y in outs)
    assert all(np.isfinite(t.grad.numpy()).all() for t in given.values())


# Errors ---------------------------------------------------------------------------------------------------------------

WRONG = {
    "x": [((N, I), "expected x (N, T, I) with T >= 1"), ((N, T, I + 1), f"expected x (N, T, {I}) to fit w")],
    "w": [((I, 7), "expected w (I, "), ((I,), "expected w (I, ")],
    "u": [((H, 5), "expected u (H, "), ((H,), "expected u (H, ")],
    "b": [((2,), "expected b (")],
    "h0": [((N + 1, H), f"expected h0 ({N}, {H})"), ((H,), f"expected h0 ({N}, {H})")],
}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize(
    ("which", "shape", "message"), [(which, *row) for which, rows in WRONG.items() for row in rows]
)
def test_shapes_that_do_not_fit(name, which, shape, message):
    given = inputs(name) | {which: xpnn.tensor(np.zeros(shape))}
    with pytest.raises(ShapeError) as caught:
        run(name, given)
    assert f"{name}: {message}" in str(caught.value)


@pytest.mark.parametrize("name", GATES)
def test_other_errors(name):
    given = inputs(name)
    with pytest.raises(ShapeError, match=f"{name}: expected x .* T >= 1"):
        run(name, given | {"x": xpnn.tensor(np.zeros((N, 0, I)))})
    for lengths in ([1, 2, 3, 4, 7], [1, 2, -1, 3, 3]):
        with pytest.raises(ShapeError, match=f"{name}: expected lengths from 0 to {T}; got"):
            run(name, given, lengths=lengths)
    with pytest.raises(ShapeError, match=rf"{name}: expected lengths \({N},\), one a sequence; got \(2,\)"):
        run(name, given, lengths=[1, 2])
    with pytest.raises(DTypeError, match=f"{name}: expected lengths of an integer dtype"):
        run(name, given, lengths=[1.0, 2.0, 3.0, 4.0, 5.0])
    with pytest.raises(DTypeError, match=f"{name}: expected one floating-point dtype"):
        run(name, given | {"b": xpnn.tensor(given["b"].numpy().astype("float32"))})


def test_rnn_has_two_activations():
    with pytest.raises(ConfigError, match="rnn: activation 'sigmoid' is unknown; expected one of tanh, relu"):
        run("rnn", inputs("rnn"), activation="sigmoid")
