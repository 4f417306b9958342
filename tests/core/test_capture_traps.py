"""Every known trap of recorded steps: what changes from step to step counts, and no memory is shared in silence."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import losses, nn
from xpnn.core import backend as backends
from xpnn.core.capture import Captured
from xpnn.errors import AutogradError

from .captured import Training, batch, network, same

pytestmark = pytest.mark.usefixtures("numba_in_use")


# What changes ---------------------------------------------------------------------------------------------------------


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


def test_a_value_read_inside_decides_anew_each_time():
    step = xpnn.capture(lambda x: x * 2 if x.sum().item() > 0 else x * 3)
    for i in range(5):
        sign = (-1.0) ** i
        assert step(xpnn.tensor([sign])).item() == (2 * sign if sign > 0 else 3 * sign)
    assert "read on the host" in step.why_not


def test_another_shape_falls_back_and_both_are_right():
    found = []
    for captured in (True, False):
        training = Training(captured)
        found.append([v for i in range(6) for n in (5, 5, 2) for v in training.run(1, n, start=i)])
    assert found[0] == found[1]


def test_precision_is_part_of_the_plan():
    step = xpnn.capture(lambda x: x * 2)
    x = xpnn.tensor([1.0])
    for _ in range(3):
        step(x)
    with xpnn.precision("exact"):
        step(x)
        assert step.why_not is not None


# Arrays and memory ----------------------------------------------------------------------------------------------------


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


def test_an_array_argument_that_is_changed_by_its_owner_is_seen():
    step = xpnn.capture(lambda x: x + 1)
    x = np.zeros(2, np.float32)
    for i in range(5):
        x[:] = i
        assert step(x).numpy().tolist() == [i + 1.0] * 2


def test_borrowed_inputs_that_are_elsewhere_now():
    double = Captured(lambda x: x * 2, borrow=True)
    x = xpnn.tensor([1.0, 2.0])
    for _ in range(4):
        assert double(x).numpy().tolist() == [2, 4]
    x.data = np.array([3, 4], x.dtype)
    for _ in range(4):
        assert double(x).numpy().tolist() == [6, 8]


def test_results_and_inputs_are_nobody_elses_memory():
    step = xpnn.capture(lambda x: (x * 2, x))
    results = []
    for i in range(5):
        x = xpnn.tensor([float(i)])
        results.append(step(x))
        x.assign([-1.0])
    assert [(a.item(), b.item()) for a, b in results] == [(2.0 * i, float(i)) for i in range(5)]


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


# Gradients and graphs -------------------------------------------------------------------------------------------------


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
