"""Recorded steps: that they are replayed, to the same bits, and every known trap of such a mechanism."""

from __future__ import annotations

import sys
import tracemalloc

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn, optim
from xpnn.core import backend as backends
from xpnn.core import tape
from xpnn.core.capture import Captured
from xpnn.errors import AutogradError, CaptureError

pytestmark = pytest.mark.usefixtures("numba_in_use")


@pytest.fixture
def numba_in_use():
    with xpnn.use("numba"):
        yield


def network():
    return nn.Sequential(nn.Dense(6, 8, activation="relu"), nn.Dropout(0.5), nn.Dense(8, 3, activation="gelu"))


def batch(i, n=5):
    rng = np.random.default_rng(i)
    return xpnn.tensor(rng.normal(size=(n, 6)).astype("f4")), xpnn.tensor(rng.integers(0, 3, n))


class Training:
    """A model and its step, captured or not; `run` gives the losses."""

    def __init__(self, captured, method="Adam", **settings):
        xpnn.seed(3)
        self.model = network()
        self.optimizer = getattr(optim, method)(self.model, lr=0.1, **settings)
        self.step = xpnn.capture(self.eager) if captured else self.eager
        self.factor = 1.0

    def eager(self, x, y):
        loss = losses.cross_entropy(self.model(x), y)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def run(self, steps, n=5, start=0):
        return [self.step(*batch(i, n)).item() for i in range(start, start + steps)]


def same(change=lambda training: None, steps=6, replayed=True, **settings):
    """Two runs, captured and not, with a change in between, have the same losses and weights; is the last a replay?"""
    found = []
    for captured in (True, False):
        training = Training(captured, **settings)
        values = training.run(steps)
        change(training)
        values += training.run(steps, start=steps)
        found.append((values, training.model.state()))
        if captured:
            assert (training.step.why_not is None) == replayed, training.step.why_not
    (a, wa), (b, wb) = found
    assert a == b
    for name in wa:
        assert np.array_equal(wa[name], wb[name]), name


@pytest.mark.parametrize("method", ["SGD", "Momentum", "AdaGrad", "RMSProp", "Adam", "AdamW"])
def test_every_optimizer_is_replayed_bit_for_bit(method):
    same(method=method, clip_norm=1.0, clip_value=0.5)


def test_a_replayed_step_allocates_nothing_and_records_no_graph(monkeypatch):
    training = Training(True)
    training.run(4, n=2000)
    x, y = batch(1, n=2000)
    calls = []
    place = backends.get("numba")
    for owner, name in ((place, "empty"), (place, "full"), (place, "route"), (tape, "apply"), (tape, "_record")):
        monkeypatch.setattr(owner, name, lambda *a, name=name, **k: calls.append(name))
    steps = training.step.steps(x, y)
    tracemalloc.start()
    try:
        for _ in steps:
            pass
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert training.step.why_not is None
    assert not calls
    assert peak < 16 * 1024  # Python's own small objects; one activation has 24 kB or more


class Joined(nn.Module):
    """A carried state, a residual addition and a concatenation, in arrays of 64 kB and more."""

    def __init__(self):
        self.lstm, self.out = nn.LSTM(16, 16, stateful=64), nn.Dense(32, 2)

    def forward(self, x):
        h = self.lstm(x)
        h = h[0] if isinstance(h, tuple) else h
        return self.out(xpnn.concat([h + x, x], axis=2))


def test_a_replay_runs_little_python():
    """A loss of 64 x 10 is a few kernel calls; what surrounds them must not cost more than they do."""
    x, labels = xpnn.Parameter(np.ones((64, 10), "f4"), backends.get("numba")), xpnn.tensor(np.arange(64) % 10)

    def step():
        x.zero_grad()
        losses.cross_entropy(x, labels).backward()

    step, calls = xpnn.capture(step), []
    for _ in range(3):
        step()
    sys.setprofile(lambda frame, event, _: calls.append(frame.f_code.co_qualname) if event == "call" else None)
    try:
        step()
    finally:
        sys.setprofile(None)
    assert len(calls) < 30, calls


def test_additions_concatenations_and_carried_states_allocate_nothing():
    with xpnn.use("numba"):
        model = Joined()
        optimizer = optim.SGD(model, lr=0.1)

        def step(x):
            loss = model(x).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            return loss

        captured = xpnn.capture(step)
        x = xpnn.tensor(np.ones((64, 20, 16), np.float32))
        for _ in range(4):
            captured(x)
        tracemalloc.start()
        try:
            captured(x)
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert captured.why_not is None
    assert peak < 32 * 1024  # the gradient of the mean, by its reference, is 10 kB; a sum or what is joined 80


# Traps -------------------------------------------------------------------------------------------------------------


def test_dropout_draws_a_new_mask_in_every_replay():
    layer = nn.Dropout(0.5)
    drop = xpnn.capture(lambda x: layer(x))
    x = xpnn.tensor(np.ones(64, np.float32))
    masks = [tuple(drop(x).numpy().tolist()) for _ in range(6)]
    assert drop.why_not is None
    assert len(set(masks)) == 6


def test_the_learning_rate_is_not_baked_in():
    same(lambda training: setattr(training.optimizer, "lr", 0.01))


def test_the_step_count_of_adam_goes_on():
    training = Training(True)
    training.run(7)
    assert training.optimizer.state()["step"] == 7


@pytest.mark.parametrize(
    "change",
    [
        lambda t: setattr(t.optimizer, "clip_norm", 0.1),
        lambda t: t.optimizer.attrs.update(beta1=0.5),
        lambda t: setattr(t.model[1], "rate", 0.1),
        lambda t: t.model.eval(),
        lambda t: t.model.layers.append(nn.Activation("tanh")),
        lambda t: t.model.layers.pop(1),
        lambda t: setattr(t.model[0].w, "requires_grad", False),
        lambda t: t.model[0].w.assign(np.ones((6, 8), np.float32)),
        lambda t: t.model.to("numpy").to("numba"),
        lambda t: t.optimizer.bind(t.model),
        lambda t: setattr(t.model[2], "activation", None),
    ],
    ids=["clip", "beta", "rate", "eval", "grown", "shrunk", "frozen", "assigned", "moved", "rebound", "activation"],
)
def test_a_change_between_steps_counts(change):
    same(change)


def test_a_number_as_argument_has_a_plan_of_its_own():
    step = xpnn.capture(lambda x, k: x * k)
    x = xpnn.tensor([1.0, 2.0])
    for k in (1.0, 1.0, 2.0, 2.0, 1.0, 2.0):
        assert step(x, k).numpy().tolist() == [k, 2 * k]
    assert step.why_not is None


def test_a_number_that_changes_each_time_is_never_replayed():
    numbers = iter(range(100))
    step = xpnn.capture(lambda x: x * float(next(numbers)))
    x = xpnn.tensor([1.0])
    assert [step(x).item() for _ in range(20)] == [float(i) for i in range(20)]
    assert "changes each time" in step.why_not


def test_an_array_of_the_host_is_not_baked_in():
    values = np.ones(3, np.float32)
    step = xpnn.capture(lambda x: x + values)
    x = xpnn.tensor([0.0, 0.0, 0.0])
    for i in range(5):
        values = np.full(3, i, np.float32)
        assert step(x).numpy().tolist() == [float(i)] * 3
    assert "array of the host" in step.why_not


def test_arrays_of_the_host_go_where_the_model_is():
    model = network()
    with xpnn.use("numpy"):
        step = xpnn.capture(lambda x: model(x).sum())
        for _ in range(3):
            assert step(np.ones((2, 6), "f4")).backend is model.backend


def test_borrowed_inputs_that_are_elsewhere_now():
    double = Captured(lambda x: x * 2, borrow=True)
    x = xpnn.tensor([1.0, 2.0])
    for _ in range(4):
        assert double(x).numpy().tolist() == [2, 4]
    x.data = np.array([3, 4], x.dtype)
    for _ in range(4):
        assert double(x).numpy().tolist() == [6, 8]


def test_gradients_that_are_gathered_elsewhere_now():
    w = xpnn.Parameter(np.ones(2, "f4"), backends.get("numba"))

    def step():
        w.zero_grad()
        (w * 3).sum().backward()

    step = xpnn.capture(step)
    for _ in range(3):
        step()
    slot = np.zeros(2, "f4")
    w.place_grad(slot)
    slot[:] = 0
    step()
    assert slot.tolist() == [3, 3]


def test_a_value_read_inside_decides_anew_each_time():
    step = xpnn.capture(lambda x: x * 2 if x.sum().item() > 0 else x * 3)
    for i in range(5):
        sign = (-1.0) ** i
        assert step(xpnn.tensor([sign])).item() == (2 * sign if sign > 0 else 3 * sign)
    assert "read on the host" in step.why_not


def test_results_and_inputs_are_nobody_elses_memory():
    step = xpnn.capture(lambda x: (x * 2, x))
    results = []
    for i in range(5):
        x = xpnn.tensor([float(i)])
        results.append(step(x))
        x.assign([-1.0])
    assert [(a.item(), b.item()) for a, b in results] == [(2.0 * i, float(i)) for i in range(5)]


def test_an_array_argument_that_is_changed_by_its_owner_is_seen():
    step = xpnn.capture(lambda x: x + 1)
    x = np.zeros(2, np.float32)
    for i in range(5):
        x[:] = i
        assert step(x).numpy().tolist() == [i + 1.0] * 2


def test_another_shape_falls_back_and_both_are_right():
    found = []
    for captured in (True, False):
        training = Training(captured)
        found.append([v for i in range(6) for n in (5, 5, 2) for v in training.run(1, n, start=i)])
    assert found[0] == found[1]


def test_gradients_that_gather_over_several_calls():
    def run(captured):
        xpnn.seed(0)
        model = nn.Dense(6, 3)

        def gather(x, y):
            loss = losses.cross_entropy(model(x), y)
            loss.backward()
            return loss

        step = xpnn.capture(gather) if captured else gather
        found = []
        for i in range(12):
            if i % 3 == 0:
                model.zero_grad()
            step(*batch(i))
            found.append(model.w.grad.numpy().copy())
        return np.stack(found)

    assert np.array_equal(run(True), run(False))


def test_a_graph_over_weights_that_a_replay_changed_is_spoilt():
    training = Training(True)
    training.run(4)
    loss = losses.cross_entropy(training.model(batch(0)[0]), batch(0)[1])
    training.run(1)
    assert training.step.why_not is None
    with pytest.raises(AutogradError, match="was changed"):
        loss.backward()


def test_a_graph_from_outside_is_not_replayed():
    w = xpnn.Parameter(np.ones(2, np.float32), backends.get("numba"))
    for _ in range(4):
        outside = w * 2
        step = xpnn.capture(lambda: (outside * 3).sum())  # noqa: B023
        step()
        assert "graph from outside" in step.why_not


def test_views_of_what_is_computed_follow_it():
    step = xpnn.capture(lambda x: ((x * 2).reshape(2, 2)[0] + 1).sum())
    for i in range(5):
        assert step(xpnn.tensor([float(i), 1.0, 2.0, 3.0])).item() == 2.0 * i + 4.0


def test_two_plans_do_not_share_memory():
    double, triple = xpnn.capture(lambda x: x * 2), xpnn.capture(lambda x: x * 3)
    for i in range(5):
        x = xpnn.tensor([float(i)])
        a = double(x)
        assert triple(a).item() == 6.0 * i
        assert a.item() == 2.0 * i


def test_inside_of_another_captured_step_it_runs_as_it_is():
    inner = xpnn.capture(lambda x: x * 2)
    outer = xpnn.capture(lambda x: inner(x) + 1)
    assert [outer(xpnn.tensor([float(i)])).item() for i in range(5)] == [2.0 * i + 1 for i in range(5)]
    assert outer.why_not is None


def test_an_error_in_the_step_leaves_it_usable():
    training = Training(True)
    training.run(1)
    with pytest.raises(xpnn.XpnnError):
        training.step(xpnn.tensor(np.zeros((5, 7), np.float32)), batch(0)[1])
    training.run(3, start=1)
    assert training.step.why_not is None


def test_precision_is_part_of_the_plan():
    step = xpnn.capture(lambda x: x * 2)
    x = xpnn.tensor([1.0])
    for _ in range(3):
        step(x)
    with xpnn.precision("exact"):
        step(x)
        assert step.why_not is not None


# The interface -------------------------------------------------------------------------------------------------------


def test_a_function_may_pause():
    def step(x):
        y = x * 2
        yield y
        yield y + 1

    captured = xpnn.capture(step)
    for i in range(5):
        assert [t.item() for t in captured.steps(xpnn.tensor([float(i)]))] == [2.0 * i, 2.0 * i + 1]
    assert captured.why_not is None
    with pytest.raises(CaptureError, match="yields"):
        captured(xpnn.tensor([1.0]))


def test_strict_raises_where_it_cannot_be_replayed():
    step = xpnn.capture(lambda x: x * x.item(), strict=True)
    with pytest.raises(CaptureError, match="read on the host"):
        step(xpnn.tensor([1.0]))


def test_results_that_are_no_tensors_are_refused():
    with pytest.raises(CaptureError, match="expected tensors as results; got float"):
        xpnn.capture(lambda x: 1.0)(xpnn.tensor([1.0]))


def test_arguments_that_are_no_values_are_refused():
    with pytest.raises(CaptureError, match="expected tensors, arrays, numbers"):
        xpnn.capture(lambda x, y: x)(xpnn.tensor([1.0]), [1])


def test_numpy_runs_it_as_it_is():
    with xpnn.use("numpy"):
        step = xpnn.capture(lambda x: x * 2)
        assert [step(xpnn.tensor([float(i)])).item() for i in range(9)] == [2.0 * i for i in range(9)]
    assert "numpy computes" in step.why_not


def test_results_have_no_graph_whether_replayed_or_not():
    w = xpnn.Parameter(np.ones(2, np.float32), backends.get("numba"))
    step = xpnn.capture(lambda: (w * 2).sum())
    for _ in range(4):
        assert not step().requires_grad
