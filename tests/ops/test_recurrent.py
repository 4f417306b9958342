"""The recurrent ops: values by hand, extremes, and errors. Unequal lengths are in test_recurrent_lengths.py."""

from __future__ import annotations

from math import exp, tanh

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.errors import ConfigError, DTypeError, ShapeError

from .sequences import GATES, PLACES, STATES, H, I, N, T, inputs, results, run

# By hand --------------------------------------------------------------------------------------------------------------


def sigmoid(x):
    return 1 / (1 + exp(-x))


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


# Extremes -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", GATES)
def test_no_sequences_at_all(name, place):
    given = inputs(name, place, shape=(0, T, I, H))
    found = results(name, given, None)
    assert (found["out 0"].shape, found["out 1"].shape) == ((0, T, H), (0, H))
    assert not any(found[k].any() for k in ("dw", "du", "db"))


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
