"""What a recorded step reads from around it: when any of that changes, the step goes by the program again."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

import xpnn
from xpnn import nn


@pytest.fixture(autouse=True)
def numba_in_use():
    with xpnn.use("numba"):
        yield


def test_a_number_around_the_function_counts():
    factor = 1.0
    step = xpnn.capture(lambda x: x * factor)
    x = xpnn.tensor([1.0, 2.0])
    for value in (1.0, 1.0, 1.0, 3.0, 3.0, 3.0, 1.0):
        factor = value
        assert step(x).numpy().tolist() == [value, 2 * value]
    assert step.why_not is None


def test_an_equal_number_made_anew_is_the_same_and_another_one_deep_inside_is_not():
    held = [float("2.5"), {"by": 1}]
    step = xpnn.capture(lambda x: x * held[0] * held[1]["by"])
    x = xpnn.tensor(np.ones(3, np.float32))
    for _ in range(3):
        held[0] = float("2.5")
        step(x)
    assert step.why_not is None
    held[1]["by"] = 3
    assert step(x).numpy().tolist() == [7.5] * 3
    assert step.why_not is not None


def test_branches_by_a_module_attribute_count():
    class Gate(nn.Module):
        def __init__(self):
            self.open = True

        def forward(self, x):
            return x * 2 if self.open else x

    gate = Gate()
    step = xpnn.capture(lambda x: gate(x))
    x = xpnn.tensor([1.0])
    for value in (True, True, True, False, False, False, True):
        gate.open = value
        assert step(x).item() == (2.0 if value else 1.0)


def test_a_module_that_counts_its_calls_is_never_replayed():
    class Counter(nn.Module):
        def __init__(self):
            self.calls = 0

        def forward(self, x):
            self.calls += 1
            return x * float(self.calls)

    counter = Counter()
    step = xpnn.capture(lambda x: counter(x))
    assert [step(xpnn.tensor([1.0])).item() for _ in range(9)] == [float(i) for i in range(1, 10)]


class Box:
    """A plain object with a number."""

    def __init__(self, number):
        self.number = number


def follows(make, change, values=(1.0, 1.0, 1.0, 2.0, 3.0, 4.0, 1.0)):
    """A captured step that multiplies by a number kept somewhere gives what the program gives, after every change."""
    step, x = make(), xpnn.tensor([1.0])
    step = xpnn.capture(step)
    for value in values:
        change(value)
        assert step(x).item() == value


def test_a_number_inside_of_objects_and_lists_counts():
    box, numbers, table = Box(1.0), [1.0], {"k": 1.0}
    follows(lambda: lambda x: x * box.number, lambda v: setattr(box, "number", v))
    follows(lambda: lambda x: x * numbers[0], lambda v: numbers.__setitem__(0, v))
    follows(lambda: lambda x: x * table["k"], lambda v: table.update(k=v))


def test_an_object_that_takes_the_place_of_another_counts():
    class Scale(nn.Module):
        def __init__(self):
            self.box = Box(1.0)

        def forward(self, x):
            return x * self.box.number

    scale = Scale()
    follows(lambda: lambda x: scale(x), lambda v: setattr(scale, "box", Box(v)))
    follows(lambda: lambda x: scale(x), lambda v: setattr(scale.box, "number", v))


def test_attributes_of_the_class_and_of_modules_that_are_not_called_count():
    class Inner(nn.Module):
        k = 1.0

        def encode(self, x):
            return x * self.k

    class Outer(nn.Module):
        def __init__(self):
            self.inner = Inner()

        def forward(self, x):
            return self.inner.encode(x)

    outer = Outer()
    follows(lambda: lambda x: outer(x), lambda v: setattr(Inner, "k", v))
    follows(lambda: lambda x: outer(x), lambda v: setattr(outer.inner, "k", v))


def test_an_argument_of_a_partial_is_seen():
    x = xpnn.tensor(np.ones(3, np.float32), backend="numba")

    def scaled(x, rate):
        return x * rate

    inner = partial(scaled, rate=2.0)
    step = xpnn.capture(inner)
    for _ in range(3):
        assert step(x).numpy().tolist() == [2.0] * 3
    inner.keywords["rate"] = 5.0
    assert step(x).numpy().tolist() == [5.0] * 3


def test_a_coin_that_is_thrown_in_the_step_is_thrown_again():
    import random

    rng = np.random.default_rng(0)
    for draw in (random.random, np.random.random, rng.random, random.Random(0).random):
        step = xpnn.capture(lambda x, draw=draw: x * 2 if draw() < 0.5 else x * 3)
        found = {step(xpnn.tensor([1.0])).item() for _ in range(60)}
        assert found == {2.0, 3.0}
        assert step.why_not is not None


def test_modules_that_are_watched_are_called():
    layer, seen = nn.Activation("relu"), []
    step, x = xpnn.capture(lambda x: layer(x)), xpnn.tensor([1.0])
    for _ in range(4):
        step(x)
    with nn.watching(lambda module, out: seen.append(module)):
        for _ in range(6):
            step(x)
    assert len(seen) == 6


def test_what_numpy_is_given_is_not_baked_in():
    step = xpnn.capture(lambda x: x * 2 if np.asarray(x).sum() > 0 else x * 3)
    for i in range(6):
        sign = (-1.0) ** i
        assert step(xpnn.tensor([sign])).item() == (2 * sign if sign > 0 else 3 * sign)


def test_a_variable_that_is_deleted_is_missed_by_the_step_and_not_by_the_look():
    factor = 2.0
    step = xpnn.capture(lambda x: x * factor)  # noqa: F821 - deleted below
    x = xpnn.tensor([1.0])
    for _ in range(3):
        step(x)
    del factor
    with pytest.raises(NameError, match="factor"):
        step(x)
