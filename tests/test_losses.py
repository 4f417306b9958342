"""The losses by name, and the penalties that are added to them."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn
from xpnn.core import backend
from xpnn.core.tensor import Parameter
from xpnn.errors import ConfigError

Y = [[1.0, -2.0], [0.5, 3.0]]


def parameter(values, decay=True, place="numpy"):
    home = backend.get(place)
    return Parameter(home.from_host(np.array(values, np.float64)), home, decay)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_get_by_name(name):
    assert losses.get(name) is getattr(losses, name)
    target = [0, 1] if name == "cross_entropy" else [[1.0, 1.0], [1.0, 1.0]]
    y = xpnn.tensor(Y)
    none = losses.get(name, reduction="none")(y, target)
    assert none.ndim >= 1
    np.testing.assert_allclose(losses.get(name, reduction="sum")(y, target).item(), none.numpy().sum(), rtol=1e-6)


def test_get_passes_options_and_functions():
    y = xpnn.tensor(Y)
    smoothed = losses.get("cross_entropy", label_smoothing=0.2)(y, [0, 1]).item()
    assert smoothed == losses.cross_entropy(y, [0, 1], label_smoothing=0.2).item() != losses.cross_entropy(y, [0, 1])

    def own(y, target, power=1):
        return (y - target).abs().sum() ** power

    assert losses.get(own) is own
    assert losses.get(own, power=2)(y, xpnn.tensor(Y) + 1.0).item() == 16.0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("cross_entropi", {}, r"loss 'cross_entropi' is unknown; .*\. Did you mean 'cross_entropy'\?$"),
        ("xyz", {}, r"loss 'xyz' is unknown; expected one of mean_squared_error, .*, huber$"),
        (None, {}, "loss None is unknown"),
        ("huber", {"delat": 2}, "loss 'huber': expected options among delta, reduction; got delat"),
        ("l1", {"y": 2}, "loss 'l1': expected options among reduction; got y"),
    ],
)
def test_get_refuses(name, options, message):
    with pytest.raises(ConfigError, match=message):
        losses.get(name, **options)


@pytest.mark.parametrize("place", ["numpy", "numba"])
def test_penalties_by_hand(place):
    w, v, b = parameter([[1.0, -2.0]], place=place), parameter([3.0], place=place), parameter([9.0], False, place)
    one = losses.l1_penalty(iter([w, b, v]), 0.1)
    assert one.item() == pytest.approx(0.6)
    one.backward()
    np.testing.assert_allclose(w.grad.numpy(), [[0.1, -0.1]])
    assert b.grad is None
    w.zero_grad()
    two = losses.l2_penalty([w, b, v], 0.1)
    assert two.item() == pytest.approx(0.05 * 14)
    two.backward()
    np.testing.assert_allclose(w.grad.numpy(), [[0.1, -0.2]])


def test_penalties_take_a_module_and_leave_its_biases():
    xpnn.seed(1)
    model = nn.Sequential(nn.Dense(3, 4, activation="tanh"), nn.Dense(4, 2))
    y = model(xpnn.tensor(np.ones((5, 3), np.float32)))
    plain = losses.cross_entropy(y, [0, 1, 0, 1, 0])
    (plain + losses.l2_penalty(model, 0.5)).backward()
    with_penalty = {name: p.grad.numpy().copy() for name, p in model.named_parameters()}
    for p in model.parameters():
        p.zero_grad()
    losses.cross_entropy(model(xpnn.tensor(np.ones((5, 3), np.float32))), [0, 1, 0, 1, 0]).backward()
    for name, p in model.named_parameters():
        expected = p.grad.numpy() + (0.5 * p.numpy() if p.decay else 0)
        np.testing.assert_allclose(with_penalty[name], expected, rtol=1e-5, atol=1e-7)


def test_penalty_of_one_parameter_is_not_taken_row_by_row():
    assert losses.l1_penalty(parameter([[1.0, -2.0], [3.0, 4.0]]), 1.0).item() == 10.0


def test_penalty_without_anything_to_decay():
    zero = losses.l2_penalty([parameter([1.0], decay=False, place="numba")], 1.0)
    assert zero.item() == 0.0
    assert zero.backend.name == "numba"
    assert zero.dtype == np.float64


@pytest.mark.parametrize("penalty", [losses.l1_penalty, losses.l2_penalty])
def test_penalties_refuse(penalty):
    with pytest.raises(ConfigError, match=f"{penalty.__name__}: expected at least one parameter; got none"):
        penalty([], 0.1)
    for strength in (-0.1, float("nan")):
        with pytest.raises(ConfigError, match=f"{penalty.__name__}: expected strength >= 0; got {strength}"):
            penalty([parameter([1.0])], strength)
