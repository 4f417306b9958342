"""Optimizers against the formulas of their papers, and the arenas they work on."""

import copy

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import xpnn
from xpnn import nn, optim
from xpnn.core import backend as backends
from xpnn.errors import BackendError, ConfigError, DTypeError
from xpnn.optim.arena import LINE

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]


@pytest.fixture(params=BACKENDS)
def backend(request):
    with xpnn.use(request.param) as place:
        yield place


# The formulas, over a dict of states `s` for one parameter ------------------------------------------------------------


def sgd(p, g, s, t, lr):
    return p - lr * g


def momentum(p, g, s, t, lr, momentum=0.9, nesterov=False):
    s["v"] = momentum * s.get("v", 0) + g
    return p - lr * (g + momentum * s["v"] if nesterov else s["v"])


def adagrad(p, g, s, t, lr, eps=1e-10):
    s["s"] = s.get("s", 0) + g**2
    return p - lr * g / (np.sqrt(s["s"]) + eps)


def rmsprop(p, g, s, t, lr, rho=0.9, eps=1e-8):
    s["s"] = rho * s.get("s", 0) + (1 - rho) * g**2
    return p - lr * g / (np.sqrt(s["s"]) + eps)


def adam(p, g, s, t, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g**2
    return p - lr * (s["m"] / (1 - beta1**t)) / (np.sqrt(s["v"] / (1 - beta2**t)) + eps)


METHODS = {
    "sgd": (optim.SGD, {}, sgd),
    "momentum": (optim.Momentum, {"momentum": 0.8}, momentum),
    "nesterov": (optim.Nesterov, {"momentum": 0.8}, lambda *a, **k: momentum(*a, nesterov=True, **k)),
    "nesterov by setting": (optim.Momentum, {"nesterov": True}, momentum),
    "adagrad": (optim.AdaGrad, {"eps": 1e-6}, adagrad),
    "rmsprop": (optim.RMSProp, {"rho": 0.7}, rmsprop),
    "adam": (optim.Adam, {"beta1": 0.8, "beta2": 0.9}, adam),
}
COMMON = {
    "plain": {},
    "l1": {"l1": 0.3},
    "l2": {"l2": 0.2},
    "both": {"l1": 0.1, "l2": 0.2},
    "clip_value": {"clip_value": 0.5},
    "clip_norm": {"clip_norm": 1.0},
    "everything": {"l1": 0.1, "l2": 0.2, "clip_value": 0.9, "clip_norm": 2.0},
}
SHAPES = {"w0": (3, 5), "b0": (5,), "w1": (5, 2), "b1": (2,)}
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def parameters(dtype="float64", seed=0):
    """Weights that decay and biases that do not, the biases first in between."""
    rng = np.random.default_rng(seed)
    made = []
    for name, shape in SHAPES.items():
        values = rng.normal(size=shape).astype(dtype)
        values.flat[0] = 0.0  # where sign(p) = 0
        place = backends.current()
        made.append(xpnn.Parameter(place.from_host(values), place, decay=name.startswith("w")))
    return made


def gradients(steps, dtype="float64"):
    rng = np.random.default_rng(1)
    return [[rng.normal(size=shape).astype(dtype) for shape in SHAPES.values()] for _ in range(steps)]


def give(params, grads):
    """Let these be the gradients, as a backward pass would."""
    for p, g in zip(params, grads, strict=True):
        (p * xpnn.tensor(g, backend=p.backend)).sum().backward()


def by_formula(params, grads, rule, lr, l1=0.0, l2=0.0, clip_value=None, clip_norm=None, weight_decay=0.0, **own):
    """The values that the formula gives after these gradients, in float64."""
    values = [p.numpy().astype("float64") for p in params]
    states = [{} for _ in params]
    for t, step in enumerate(grads, 1):
        step = [g.astype("float64") for g in step]
        if clip_value is not None:
            step = [np.clip(g, -clip_value, clip_value) for g in step]
        if clip_norm is not None:
            norm = np.sqrt(sum((g**2).sum() for g in step))
            step = [g * min(1, clip_norm / norm) for g in step]
        for i, (p, g) in enumerate(zip(values, step, strict=True)):
            if params[i].decay:
                g = g + l2 * p + l1 * np.sign(p)
                p = p - lr * weight_decay * p
            values[i] = rule(p, g, states[i], t, lr, **own)
    return values


def close(params, expected, dtype):
    for p, e in zip(params, expected, strict=True):
        np.testing.assert_allclose(p.numpy(), e, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("common", COMMON)
@pytest.mark.parametrize("method", METHODS)
def test_the_formula(backend, method, common, dtype):
    make, own, rule = METHODS[method]
    params, grads = parameters(dtype), gradients(6, dtype)
    expected = by_formula(params, grads, rule, 0.05, **COMMON[common], **own)
    optimizer = make(params, lr=0.05, **COMMON[common], **own)
    for step in grads:
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
    close(params, expected, dtype)
    assert all(p.dtype == dtype and p.backend is backend for p in params)


@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.3}, {"weight_decay": 0.3, "l2": 0.1, "clip_norm": 1.0}])
def test_adamw_shrinks_weights_apart_from_the_gradient(backend, settings):
    params, grads = parameters(), gradients(6)
    expected = by_formula(params, grads, adam, 0.05, **{"weight_decay": 0.01, **settings})
    optimizer = optim.AdamW(params, lr=0.05, **settings)
    for step in grads:
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
    close(params, expected, "float64")


def test_the_first_step_of_adam_is_the_learning_rate(backend):
    """m' = g and v' = g^2, so |step| = lr whatever the gradient: the corrections must be those of t = 1."""
    params = parameters("float32")
    before = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params, lr=0.01)
    give(params, [np.full(shape, 1e-3, "float32") for shape in SHAPES.values()])
    optimizer.step()
    for p, b in zip(params, before, strict=True):
        np.testing.assert_allclose(b - p.numpy(), 0.01, rtol=1e-3)


def test_a_new_learning_rate_holds_from_the_next_step(backend):
    params, grads = parameters(), gradients(3)
    optimizer = optim.SGD(params, lr=0.1)
    before = [p.numpy().copy() for p in params]
    for rate, step in zip([0.1, 0.0, 0.3], grads, strict=True):
        optimizer.lr = rate
        assert optimizer.lr == rate
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
    close(params, [b - 0.1 * g - 0.3 * h for b, g, h in zip(before, grads[0], grads[2], strict=True)], "float64")


def test_clipping_does_not_hide_what_is_not_finite(backend):
    params, (grads,) = parameters("float32"), gradients(1, "float32")
    grads[0][0, 0] = np.inf
    optimizer = optim.SGD(params, lr=0.1, clip_norm=1.0)
    for p, g in zip(params, grads, strict=True):
        p.backward(xpnn.tensor(g))
    with np.errstate(invalid="ignore"):
        optimizer.step()
    assert not any(np.isfinite(p.numpy()).any() for p in params)


# Convergence ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (optim.SGD, {"lr": 0.02}),
        (optim.Momentum, {"lr": 0.01}),
        (optim.Nesterov, {"lr": 0.01}),
        (optim.AdaGrad, {"lr": 0.5}),
        (optim.RMSProp, {"lr": 0.01}),
        (optim.Adam, {"lr": 0.05}),
        (optim.AdamW, {"lr": 0.05, "weight_decay": 0.0}),
    ],
)
def test_they_descend_into_a_bowl(backend, make, settings):
    """f(p) = sum of a_i (p_i - 1)^2 / 2, with curvatures from 1 to 30."""
    curvature = np.array([1.0, 3.0, 10.0, 30.0])
    p = xpnn.Parameter(backend.from_host(np.array([-1.0, 2.0, 0.0, 3.0])), backend)
    optimizer = make([p], **settings)
    for _ in range(400):
        optimizer.zero_grad()
        loss = ((p - 1.0).square() * xpnn.tensor(curvature)).sum() * 0.5
        loss.backward()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), 1.0, atol=0.02)


def test_adam_follows_a_bent_valley(backend):
    """Rosenbrock's function (1 - x)^2 + 100 (y - x^2)^2 from (-1.2, 1), with its least value at (1, 1)."""
    p = xpnn.Parameter(backend.from_host(np.array([-1.2, 1.0])), backend)
    optimizer = optim.Adam([p], lr=0.05)
    for _ in range(1500):
        optimizer.zero_grad()
        x, y = p[0], p[1]
        ((1.0 - x).square() + 100.0 * (y - x.square()).square()).backward()
        optimizer.step()
    np.testing.assert_allclose(p.numpy(), 1.0, atol=0.02)


# Arenas ---------------------------------------------------------------------------------------------------------------


def test_parameters_and_gradients_are_views_of_the_arena(backend):
    params = parameters()
    values = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params)
    close(params, values, "float64")
    flat = optimizer.arena.flat
    flat["parameters"][...] = 7
    flat["gradients"][...] = 3
    give(params, gradients(1)[0])
    for p in params:
        assert np.all(p.numpy() == 7)
    if backend.on_host:
        assert all(np.shares_memory(p.data, flat["parameters"]) for p in params)
        assert all(np.shares_memory(p.grad.data, flat["gradients"]) for p in params)


def test_weights_come_first_each_on_a_line_of_its_own(backend):
    arena = optim.SGD(parameters("float32"), lr=0.1).arena
    assert [p.decay for p in arena.parameters] == [True, True, False, False]
    assert [p.shape for p in arena.parameters] == [(3, 5), (5, 2), (5,), (2,)]
    assert [s.start * 4 % LINE for s in arena.slices] == [0] * 4
    assert arena.decayed == 32
    assert arena.size == 64
    for left, right in zip(arena.slices, arena.slices[1:], strict=False):
        assert left.stop <= right.start


@pytest.mark.parametrize("method", [*METHODS, "adamw"])
def test_padding_stays_zero(backend, method):
    make, own, _ = METHODS.get(method, (optim.AdamW, {}, None))
    params = parameters("float32")
    optimizer = make(params, lr=0.1, l1=0.1, l2=0.1, clip_value=1.0, clip_norm=1.0, **own)
    arena = optimizer.arena
    for step in gradients(4, "float32"):
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
    used = np.zeros(arena.size, bool)
    for s in arena.slices:
        used[s] = True
    assert used.sum() == sum(p.size for p in params)
    for name, array in arena.flat.items():
        assert np.all(backend.to_host(array)[~used] == 0), name


def test_gradients_gathered_before_binding_count(backend):
    params, grads = parameters(), gradients(2)
    before = [p.numpy().copy() for p in params]
    give(params, grads[0])
    optimizer = optim.SGD(params, lr=0.1)
    give(params, grads[1])
    optimizer.step()
    close(params, [b - 0.1 * (g + h) for b, g, h in zip(before, *grads, strict=True)], "float64")


def test_zero_grad_reads_as_zeros_though_nothing_is_written(backend):
    params = parameters()
    optimizer = optim.SGD(params, lr=0.1)
    give(params, gradients(1)[0])
    optimizer.zero_grad()
    assert np.any(backend.to_host(optimizer.arena.flat["gradients"]) != 0)
    for p in params:
        assert np.all(p.grad.numpy() == 0)


def test_gradients_add_up_until_they_are_forgotten(backend):
    params, grads = parameters(), gradients(3)
    optimizer = optim.SGD(params, lr=0.1)
    give(params, grads[0])
    give(params, grads[1])
    close([p.grad for p in params], [g + h for g, h in zip(*grads[:2], strict=True)], "float64")
    optimizer.zero_grad()
    give(params, grads[2])
    close([p.grad for p in params], grads[2], "float64")


def test_a_parameter_out_of_the_loss_steps_with_zero(backend):
    params, grads = parameters(), gradients(2)
    optimizer = optim.Momentum(params, lr=0.1, momentum=0.5)
    give(params, grads[0])
    optimizer.step()
    middle = [p.numpy().copy() for p in params]
    optimizer.zero_grad()
    give(params[:1], grads[1][:1])
    optimizer.step()
    close(params[:1], [middle[0] - 0.1 * (0.5 * grads[0][0] + grads[1][0])], "float64")
    close(params[1:], [m - 0.05 * g for m, g in zip(middle[1:], grads[0][1:], strict=True)], "float64")


def test_a_step_without_any_backward_changes_nothing(backend):
    params = parameters()
    before = [p.numpy().copy() for p in params]
    optimizer = optim.Adam(params, clip_norm=1.0, clip_value=1.0)
    optimizer.step()
    close(params, before, "float64")


def test_a_tied_parameter_is_stepped_once(backend):
    shared = xpnn.Parameter(backend.from_host(np.ones((2, 2))), backend)
    before = shared.numpy().copy()
    optimizer = optim.SGD([shared, shared], lr=0.1)
    assert len(optimizer.arena.parameters) == 1
    x = xpnn.tensor(np.array([[1.0, 2.0]]))
    ((x @ shared) @ shared).sum().backward()
    # d/dW of sum(x W W) = x^T (1 W^T) + (x W)^T 1
    ones = np.ones((1, 2))
    expected = np.array([[1.0, 2.0]]).T @ (ones @ before.T) + (np.array([[1.0, 2.0]]) @ before).T @ ones
    optimizer.step()
    np.testing.assert_allclose(shared.numpy(), before - 0.1 * expected, rtol=1e-12)


# Frozen parameters ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [*METHODS, "adamw"])
@pytest.mark.parametrize("frozen", [(0,), (2,), (1, 2), (0, 3), (0, 1, 2, 3)])
def test_frozen_parameters_and_their_state_stay(backend, method, frozen):
    """And the others go as if the frozen ones were not there, in clipping too."""
    make, own, _ = METHODS.get(method, (optim.AdamW, {"weight_decay": 0.2}, None))
    common = {"lr": 0.05, "l1": 0.1, "l2": 0.2, "clip_norm": 1.0}
    warm, *grads = gradients(5)
    params = parameters()
    optimizer = make(params, **common, **own)
    give(params, warm)
    optimizer.step()
    before = {"parameters": backend.to_host(optimizer.arena.flat["parameters"]).copy(), **optimizer.state()}
    for i in frozen:
        params[i].requires_grad = False
    free = [i for i in range(4) if i not in frozen]
    twins = copy.deepcopy([params[i] for i in free])
    twin = make(twins, **common, **own) if free else None
    if twin is not None:  # the same state, moved to where the fewer parameters lie
        for name in optimizer.states:
            places = dict(zip(map(id, optimizer.arena.parameters), optimizer.arena.views(name), strict=True))
            mine = dict(zip(map(id, twin.arena.parameters), twin.arena.views(name), strict=True))
            for i, p in zip(free, twins, strict=True):
                backend.copy(places[id(params[i])], mine[id(p)])
        twin.arena.scalars["step"][...] = 1
    for step in grads:  # the frozen ones keep what they gathered before; it must not count in the norm
        for p in (*params, *twins):
            p.zero_grad() if p.requires_grad else None
        give([params[i] for i in free], [step[i] for i in free])
        optimizer.step()
        if twin is not None:
            give(twins, [step[i] for i in free])
            twin.step()
    after = {"parameters": backend.to_host(optimizer.arena.flat["parameters"]), **optimizer.state()}
    for p, s in zip(optimizer.arena.parameters, optimizer.arena.slices, strict=True):
        for name, array in after.items():
            if array.shape and not p.requires_grad:
                np.testing.assert_array_equal(array[s], before[name][s])
    close([params[i] for i in free], [p.numpy() for p in twins], "float64")
    if free and "step" in optimizer.op.inputs:
        assert optimizer.state()["step"] == 5


def test_a_thawed_parameter_trains_again(backend):
    params, grads = parameters(), gradients(2)
    params[0].requires_grad = False
    before = params[0].numpy().copy()
    optimizer = optim.SGD(params, lr=0.1)
    params[0].requires_grad = True
    give(params, grads[0])
    optimizer.step()
    close(params[:1], [before - 0.1 * grads[0][0]], "float64")


# Backends, two optimizers, state --------------------------------------------------------------------------------------


def network(seed=3):
    xpnn.seed(seed)
    return nn.Sequential(nn.Dense(4, 8, activation="tanh"), nn.Dense(8, 3)).astype("float64")


def train(model, optimizer, steps, first=0):
    for step in range(first, first + steps):
        rng = np.random.default_rng(step)
        x, y = rng.normal(size=(16, 4)), rng.normal(size=(16, 3))
        optimizer.zero_grad()
        out = model(xpnn.tensor(x, backend=model.backend))
        (out - xpnn.tensor(y, backend=model.backend)).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("method", [*METHODS, "adamw"])
def test_moving_between_backends_keeps_the_trajectory(method):
    make, own, _ = METHODS.get(method, (optim.AdamW, {}, None))
    settings = {"lr": 0.05, "l2": 0.01, "clip_norm": 1.0, **own}
    still = network()
    train(still, make(still, **settings), 12)
    moving = network()
    optimizer = make(moving, **settings)
    parts = list(moving.parameters())
    for leg, place in enumerate([*BACKENDS, *BACKENDS[::-1]]):
        assert moving.to(place) is moving
        assert optimizer.arena.backend.name == place
        train(moving, optimizer, 12 // (2 * len(BACKENDS)), first=leg * 12 // (2 * len(BACKENDS)))
    assert [id(p) for p in moving.parameters()] == [id(p) for p in parts]
    for p, q in zip(moving.parameters(), still.parameters(), strict=True):
        np.testing.assert_allclose(p.numpy(), q.numpy(), rtol=1e-11, atol=1e-13)


def test_gradients_gathered_before_a_move_count():
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    model = network()
    optimizer = optim.SGD(model, lr=0.1)
    before = [p.numpy().copy() for p in model.parameters()]
    x = np.ones((2, 4))
    model(x).sum().backward()
    grads = [p.grad.numpy().copy() for p in model.parameters()]
    model.to(BACKENDS[1])
    model(x).sum().backward()
    optimizer.step()
    close(model.parameters(), [b - 0.2 * g for b, g in zip(before, grads, strict=True)], "float64")


def test_two_optimizers_on_the_halves_of_a_model(backend):
    model, twin = network(), network()
    for p in (*model.parameters(), *twin.parameters()):
        assert p.backend is backend
    left, right = optim.SGD(model[0], lr=0.1), optim.Adam(model[1], lr=0.01)
    one = optim.SGD(twin[0], lr=0.1)
    other = optim.Adam(twin[1], lr=0.01)
    for step in range(3):
        x = np.random.default_rng(step).normal(size=(5, 4))
        for m, optimizers in ((model, (left, right)), (twin, (other, one))):
            m.zero_grad()
            m(xpnn.tensor(x)).square().sum().backward()
            for optimizer in optimizers:
                optimizer.step()
    close(model.parameters(), [p.numpy() for p in twin.parameters()], "float64")
    assert left.arena is not right.arena
    place = BACKENDS[-1]
    model.to(place)
    assert left.arena.backend.name == right.arena.backend.name == place


def test_moving_half_of_what_an_optimizer_trains():
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    model = network()
    optim.SGD(model, lr=0.1)
    with pytest.raises(BackendError, match="trains parameters outside of this module; move the whole model"):
        model[0].to(BACKENDS[1])
    assert {p.backend.name for p in model.parameters()} == {BACKENDS[0]}


def test_another_optimizer_takes_over():
    model = network()
    first = optim.Adam(model)
    train(model, first, 2)
    second = optim.SGD(model[0], lr=0.1)
    with pytest.raises(ConfigError, match="Adam: another optimizer has taken over parameters of this one"):
        first.step()
    second.step()


@pytest.mark.parametrize("order", [1, -1])
def test_a_lost_parameter_is_not_moved_back_to_its_old_values(order):
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    model = network()
    first = optim.SGD(list(model.parameters())[::order], lr=0.1)
    taken = model[0] if order == 1 else model[1]
    optim.SGD(taken, lr=0.1)
    taken.w.assign(np.full(taken.w.shape, 7.0))
    model.to(BACKENDS[1])
    assert np.all(taken.w.numpy() == 7)
    assert {p.backend.name for p in model.parameters()} == {BACKENDS[1]}
    assert first.arena is not taken.w.arena


def test_binding_again_begins_anew():
    model = network()
    optimizer = optim.Adam(model)
    train(model, optimizer, 3)
    assert optimizer.state()["step"] == 3
    values = [p.numpy().copy() for p in model.parameters()]
    assert optimizer.bind(model) is optimizer
    assert optimizer.state()["step"] == 0
    close(model.parameters(), values, "float64")
    train(model, optimizer, 1)


@pytest.mark.parametrize("method", [*METHODS, "adamw"])
def test_state_goes_on_where_it_was(backend, method):
    make, own, _ = METHODS.get(method, (optim.AdamW, {}, None))
    model = network()
    optimizer = make(model, lr=0.05, **own)
    train(model, optimizer, 3)
    optimizer.lr = 0.02
    weights, state = model.state(), optimizer.state()
    train(model, optimizer, 3, first=3)
    assert "lr" in state
    assert all(isinstance(a, np.ndarray) for a in state.values())

    again = network(seed=9)
    resumed = make(again, lr=0.7, **own)
    again.load_state(weights)
    resumed.load_state(state)
    assert resumed.lr == 0.02
    train(again, resumed, 3, first=3)
    for p, q in zip(model.parameters(), again.parameters(), strict=True):
        np.testing.assert_array_equal(p.numpy(), q.numpy())


def test_state_is_a_copy():
    model = network()
    optimizer = optim.Momentum(model)
    train(model, optimizer, 1)
    state = optimizer.state()
    kept = {name: a.copy() for name, a in state.items()}
    train(model, optimizer, 1)
    for name, a in kept.items():
        np.testing.assert_array_equal(state[name], a)


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda s: s.pop("m"), r"optimizer state: expected \['lr', 'm', 'step', 'v'\]; got \['lr', 'step', 'v'\]"),
        (lambda s: s.update(m=s["m"][:-1]), r"optimizer state m: expected \(72,\) float64; got \(71,\) float64"),
        (lambda s: s.update(v=s["v"].astype("float32")), r"optimizer state v: expected .* float64; got .* float32"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(damage, text):
    model = network()
    optimizer = optim.Adam(model)
    train(model, optimizer, 2)
    before, state = optimizer.state(), optimizer.state()
    state = {name: a + 1 for name, a in state.items()}
    damage(state)
    with pytest.raises(ConfigError, match=text):
        optimizer.load_state(state)
    for name, a in optimizer.state().items():
        np.testing.assert_array_equal(a, before[name])


def test_a_copied_model_has_no_part_in_the_training_of_the_first():
    model = network()
    optimizer = optim.SGD(model, lr=0.1)
    twin = copy.deepcopy(model)
    before = twin.state()
    train(model, optimizer, 2)
    for name, a in twin.state().items():
        np.testing.assert_array_equal(a, before[name])
    assert [p.decay for p in twin.parameters()] == [p.decay for p in model.parameters()]
    train(twin, optim.SGD(twin, lr=0.1), 2)
    close(twin.parameters(), [p.numpy() for p in model.parameters()], "float64")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.lists(st.integers(1, 9), max_size=3), st.booleans(), st.booleans()), min_size=1, max_size=8),
    st.sampled_from(["float32", "float64"]),
)
def test_any_set_of_parameters_keeps_its_values_and_lines(drawn, dtype):
    rng = np.random.default_rng(0)
    place = backends.get("numpy")
    params, values = [], []
    for shape, decay, trained in drawn:
        p = xpnn.Parameter(np.asarray(rng.normal(size=shape), dtype), place, decay)
        p.requires_grad = trained
        params.append(p)
        values.append(p.numpy().copy())
    arena = optim.SGD(params, lr=0.5, l2=1.0).arena
    covered = np.zeros(arena.size, int)
    for p, s in zip(arena.parameters, arena.slices, strict=True):
        assert s.start * p.dtype.itemsize % LINE == 0
        assert (s.stop <= arena.decayed) == p.decay
        covered[s] += 1
    assert covered.max() == 1
    trained = [p.requires_grad for p in arena.parameters]
    runs = sum(t and not before for t, before in zip(trained, [False, *trained], strict=False))
    assert len(arena.stretches()) == runs
    for part in arena.stretches():
        covered[part] += 2
    for p, s in zip(arena.parameters, arena.slices, strict=True):
        assert np.all(covered[s] == (3 if p.requires_grad else 1))
    for p, value in zip(params, values, strict=True):
        np.testing.assert_array_equal(p.numpy(), value)


# What is refused ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: optim.SGD(lr=0.0), "SGD: expected lr > 0; got 0.0"),
        (lambda: optim.SGD(lr=float("nan")), "SGD: expected lr > 0; got nan"),
        (lambda: optim.SGD(lr=0.1, l1=-1), "SGD: expected l1 >= 0 and l2 >= 0"),
        (lambda: optim.SGD(lr=0.1, clip_value=0), "SGD: expected clip_value > 0; got 0"),
        (lambda: optim.SGD(lr=0.1, clip_norm=-1), "SGD: expected clip_norm > 0; got -1"),
        (lambda: optim.Momentum(momentum=1.0), "Momentum: expected momentum from 0 up to 1; got 1.0"),
        (lambda: optim.AdaGrad(eps=0), "AdaGrad: expected eps > 0; got 0"),
        (lambda: optim.RMSProp(rho=-0.1), "RMSProp: expected rho from 0 up to 1; got -0.1"),
        (lambda: optim.Adam(beta2=1.0), "Adam: expected beta1 and beta2 from 0 up to 1"),
        (lambda: optim.AdamW(weight_decay=-1), "AdamW: expected weight_decay >= 0; got -1"),
        (lambda: optim.Nesterov(momentun=0.9), "Nesterov: setting 'momentun' is unknown. Did you mean 'momentum'?"),
        (lambda: optim.SGD(decayed=3), "SGD: setting 'decayed' is unknown"),
        (lambda: optim.SGD().step(), r"SGD: expected parameters; got none. Use .bind\(model\)"),
        (lambda: optim.SGD(nn.Flatten()), "optimizer: expected at least one parameter; got none"),
        (lambda: optim.SGD(3), "SGD: expected a model or Parameters; got int"),
        (lambda: optim.SGD([np.ones(3)]), "optimizer: expected a model or Parameters; got ndarray"),
        (lambda: optim.SGD([xpnn.tensor([1.0])]), "optimizer: expected a model or Parameters; got Tensor"),
        (lambda: optim.SGD(network()[0].w), "optimizer: expected a model or Parameters; got Tensor"),
    ],
)
def test_settings_and_parameters_that_make_no_sense(make, text):
    with pytest.raises(ConfigError, match=text) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_the_learning_rate_may_become_zero_but_not_less():
    optimizer = optim.SGD(network(), lr=0.1)
    optimizer.lr = 0
    for value in (-0.1, float("nan"), float("inf")):
        with pytest.raises(ConfigError, match="SGD: expected lr >= 0"):
            optimizer.lr = value


def test_parameters_of_two_dtypes_or_backends():
    with pytest.raises(DTypeError, match="expected parameters of one dtype; got float32 and float64"):
        optim.SGD([*parameters("float32"), *parameters("float64")])
    if len(BACKENDS) > 1:
        elsewhere = network().to(BACKENDS[1])
        mixed = [*network().parameters(), *elsewhere.parameters()]
        with pytest.raises(BackendError, match="expected parameters on one backend; got numpy and"):
            optim.SGD(mixed)
        assert all(p.arena is None for p in mixed)


def test_a_step_makes_an_older_graph_useless():
    model = network()
    optimizer = optim.SGD(model, lr=0.1)
    loss = model(np.ones((2, 4))).square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    with pytest.raises(xpnn.errors.AutogradError, match="was changed since the forward pass"):
        loss.backward()


# PyTorch --------------------------------------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize(
    ("make", "settings", "theirs", "their_settings"),
    [
        (optim.SGD, {}, "SGD", {}),
        (optim.SGD, {"l2": 0.1}, "SGD", {"weight_decay": 0.1}),
        (optim.Momentum, {}, "SGD", {"momentum": 0.9}),
        (optim.Nesterov, {}, "SGD", {"momentum": 0.9, "nesterov": True}),
        (optim.AdaGrad, {}, "Adagrad", {}),
        (optim.RMSProp, {"rho": 0.99}, "RMSprop", {}),
        (optim.Adam, {}, "Adam", {}),
        (optim.Adam, {"l2": 0.1}, "Adam", {"weight_decay": 0.1}),
        (optim.AdamW, {"weight_decay": 0.1}, "AdamW", {"weight_decay": 0.1}),
    ],
)
def test_the_trajectory_is_that_of_pytorch(backend, make, settings, theirs, their_settings):
    torch = pytest.importorskip("torch")
    params, grads = parameters(), gradients(10)
    for p in params:
        p.decay = True  # as PyTorch takes it
    twins = [torch.nn.Parameter(torch.tensor(p.numpy().copy())) for p in params]
    optimizer = make(params, lr=0.05, **settings)
    their = getattr(torch.optim, theirs)(twins, lr=0.05, **their_settings)
    for step in grads:
        optimizer.zero_grad()
        give(params, step)
        optimizer.step()
        for twin, g in zip(twins, step, strict=True):
            twin.grad = torch.tensor(g)
        their.step()
    for p, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(p.numpy(), twin.detach().numpy(), rtol=1e-9, atol=1e-11)


@pytest.mark.peers
def test_clipping_is_that_of_pytorch(backend):
    torch = pytest.importorskip("torch")
    params, (grads,) = parameters(), gradients(1)
    twins = [torch.nn.Parameter(torch.tensor(p.numpy().copy())) for p in params]
    for twin, g in zip(twins, grads, strict=True):
        twin.grad = torch.tensor(g)
    torch.nn.utils.clip_grad_norm_(twins, 0.7)
    torch.optim.SGD(twins, lr=0.1).step()
    optimizer = optim.SGD(params, lr=0.1, clip_norm=0.7)
    give(params, grads)
    optimizer.step()
    for p, twin in zip(params, twins, strict=True):
        np.testing.assert_allclose(p.numpy(), twin.detach().numpy(), rtol=1e-5)  # theirs adds 1e-6 to the norm
