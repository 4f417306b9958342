"""Modules: what they find in themselves, how they move, keep and restore it."""

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xpnn
from xpnn import nn, optim
from xpnn.backends.numpy import NumpyBackend
from xpnn.core import backend as backends
from xpnn.errors import BackendError, ConfigError, DTypeError, ShapeError
from xpnn.nn.module import parameter

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]


class Tree(nn.Module):
    """Modules in a list, a dict and a tuple, one of them twice; a parameter and a buffer of its own."""

    def __init__(self):
        self.stem = nn.Dense(3, 4)
        self.branches = [nn.Dense(4, 4, activation="tanh"), nn.Sequential(nn.Dense(4, 4), nn.Dropout(0.5))]
        self.heads = {"left": nn.Dense(4, 2), "right": (nn.Dense(4, 2), self.stem)}
        self.again = self.branches[0]
        self.scale = parameter((2,), "ones", decay=False)
        self.seen = xpnn.tensor([0.0, 1.0])
        self.note = "neither"

    def forward(self, x):
        h = self.again(self.branches[1](self.branches[0](self.stem(x))))
        return (self.heads["left"](h) + self.heads["right"][0](h)) * self.scale


PARAMETERS = [
    *("stem.w", "stem.b", "branches.0.w", "branches.0.b", "branches.1.layers.0.w", "branches.1.layers.0.b"),
    *("heads.left.w", "heads.left.b", "heads.right.0.w", "heads.right.0.b", "scale"),
]
BUFFERS = ["branches.1.layers.1.stream", "seen"]


def test_everything_is_found_once_under_its_first_name():
    tree = Tree()
    assert [name for name, _ in tree.named_parameters()] == PARAMETERS
    assert [name for name, _ in tree.named_buffers()] == BUFFERS
    assert len(list(tree.parameters())) == len({id(p) for p in tree.parameters()}) == len(PARAMETERS)
    assert list(tree.state()) == PARAMETERS + BUFFERS
    names = [name for name, _ in tree.named_modules()]
    assert names[:3] == ["", "stem", "branches.0"]
    assert dict(tree.named_modules())["heads.right.1"] is tree.stem


class Holder(nn.Module):
    def __init__(self, held):
        self.held = held


def cycle():
    inner, outer = Holder(None), Holder(None)
    inner.held, outer.held = [outer], {"in": inner}
    return outer


def list_of_itself():
    entries = [nn.Dense(1, 1)]
    entries.append(entries)
    return Holder(entries)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Holder({1: nn.Dense(1, 1), "1": nn.Dense(1, 1)}), "expected distinct names; got 'held.1' twice"),
        (lambda: Holder({"a.w": xpnn.tensor(1.0), "a": {"w": xpnn.tensor(1.0)}}), "got 'held.a.w' twice"),
        (lambda: Holder({nn.Dense(1, 1)}), "held: expected modules and tensors in a list or dict; got a set"),
        (lambda: Holder([frozenset([xpnn.tensor(1.0)])]), "held.0: expected modules and tensors in a list"),
        (cycle, "held.in.held.0: expected modules within modules; got one that contains itself"),
        (list_of_itself, "held.1: expected modules within modules; got one that contains itself"),
    ],
)
def test_what_cannot_be_named(make, text):
    module = make()
    for look in (nn.Module.state, nn.Module.eval, lambda m: list(m.parameters()), lambda m: m.to("numpy")):
        with pytest.raises(ConfigError, match=text) as caught:
            look(module)
        assert "\n" not in str(caught.value)


def test_sets_and_keys_that_hold_no_modules_are_no_matter():
    assert Holder({1, 2}).state() == {}
    assert "held.2.1.w" in Holder({1: nn.Dense(1, 1), "2": {"1": nn.Dense(1, 1)}}).state()


def test_a_shared_module_gathers_the_gradients_of_all_its_uses():
    shared = nn.Dense(3, 3, activation="tanh")
    twice = nn.Sequential(shared, shared)
    apart = copy.deepcopy(nn.Sequential(shared, nn.Dense(3, 3, activation="tanh")))
    apart[1].load_state(shared.state())
    x = np.random.default_rng(0).normal(size=(4, 3))
    for model in (twice, apart):
        model(x).square().sum().backward()
    assert len(list(twice.parameters())) == 2
    for name in ("w", "b"):
        first, second = (getattr(layer, name).grad.numpy() for layer in apart)
        np.testing.assert_allclose(getattr(shared, name).grad.numpy(), first + second, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_module_is_made_where_the_backend_in_use_says(backend):
    with xpnn.use(backend):
        tree = Tree()
        assert tree.backend.name == nn.Flatten().backend.name == backend
    for _, t in [*tree.named_parameters(), *tree.named_buffers()]:
        assert t.backend.name == backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_to_moves_weights_gradients_and_buffers(backend):
    tree = Tree()
    x = np.ones((2, 3), "float32")
    tree(x).sum().backward()
    before, parts = tree.state(), list(tree.parameters())
    grads = [p.grad.numpy().copy() for p in parts]
    assert tree.to(backend) is tree
    assert [id(p) for p in tree.parameters()] == [id(p) for p in parts]
    for _, t in [*tree.named_parameters(), *tree.named_buffers()]:
        assert t.backend.name == backend
    for name, a in tree.state().items():
        np.testing.assert_array_equal(a, before[name])
    for p, g in zip(parts, grads, strict=True):
        np.testing.assert_array_equal(p.grad.numpy(), g)
    assert tree(xpnn.tensor(x, backend=backend)).backend.name == backend


def test_to_an_unknown_backend_moves_nothing():
    tree = Tree()
    with pytest.raises(BackendError, match="backend 'nummpy' is unknown"):
        tree.to("nummpy")
    assert {p.backend.name for p in tree.parameters()} == {backends.current().name}


class Cramped(NumpyBackend):
    """A device with room for `room` arrays."""

    name = "cramped"
    room = 3

    def from_host(self, array):
        if self.room == 0:
            raise BackendError("cramped: out of memory")
        self.room -= 1
        return array.copy()


@pytest.mark.parametrize("room", range(7))
@pytest.mark.parametrize("trained", [True, False])
def test_a_move_that_fails_changes_nothing_and_may_be_tried_again(trained, room):
    def made():
        xpnn.seed(0)
        model = nn.Sequential(nn.Dense(3, 4, activation="tanh"), nn.Dropout(0.5), nn.Dense(4, 2)).eval()
        return model, optim.Adam(model if trained else [model[0].w, model[0].b], lr=0.1)

    def train(model, optimizer):
        x = xpnn.tensor(np.ones((2, 3), "float32"), backend=model.backend)
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()

    (model, optimizer), (twin, other) = made(), made()
    train(model, optimizer)
    train(twin, other)
    cramped = Cramped()
    cramped.room = room
    with pytest.raises(BackendError, match="out of memory"):
        model.to(cramped)
    everything = [t for _, t in [*model.named_parameters(), *model.named_buffers()]]
    assert {t.backend.name for t in [*everything, optimizer.arena]} == {backends.current().name}
    train(model, optimizer)
    cramped.room = 100
    assert model.to(cramped).backend is cramped
    assert {t.backend.name for t in [*everything, optimizer.arena]} == {"cramped"}
    train(model, optimizer)
    for _ in range(2):
        train(twin, other)
    for name, a in twin.state().items():
        np.testing.assert_array_equal(model.state()[name], a)


def test_train_and_eval_reach_every_module():
    tree = Tree()
    assert tree.training
    assert tree.eval() is tree
    assert not any(m.training for _, m in tree.named_modules())
    assert tree.train() is tree
    assert all(m.training for _, m in tree.named_modules())
    assert nn.Dropout().training


# State ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", BACKENDS)
def test_state_comes_back(backend):
    tree, other = Tree(), Tree().to(backend)
    x = np.ones((2, 3), "float32")
    state = tree.state()
    other.load_state(state)
    y = other.eval()(xpnn.tensor(x, backend=backend))
    np.testing.assert_allclose(y.numpy(), tree.eval()(x).numpy(), rtol=1e-5)
    for name, a in other.state().items():
        np.testing.assert_array_equal(a, state[name])


def test_state_is_a_copy_and_is_copied():
    tree = Tree()
    state = tree.state()
    kept = {name: a.copy() for name, a in state.items()}
    tree.stem.w.assign(np.zeros((3, 4)))
    np.testing.assert_array_equal(state["stem.w"], kept["stem.w"])
    tree.load_state(state)
    state["stem.w"][...] = 5
    np.testing.assert_array_equal(tree.stem.w.numpy(), kept["stem.w"])


def test_state_of_a_bound_model_goes_into_the_arena():
    tree, other = Tree(), Tree()
    optimizer = optim.SGD(tree, lr=0.1)
    tree.load_state(other.state())
    assert np.shares_memory(tree.stem.w.data, optimizer.arena.flat["parameters"])
    np.testing.assert_array_equal(tree.stem.w.numpy(), other.stem.w.numpy())


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda s: s.pop("stem.b"), r"load_state: expected \[.*\]; missing \['stem.b'\], unknown \[\]"),
        (lambda s: s.update(extra=np.ones(3)), r"missing \[\], unknown \['extra'\]"),
        (
            lambda s: s.update({"scale": np.ones(3, "float32")}),
            r"load_state scale: expected \(2,\) float32; got \(3,\)",
        ),
        (lambda s: s.update({"scale": np.ones(2)}), r"load_state scale: expected \(2,\) float32; got \(2,\) float64"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(damage, text):
    tree = Tree()
    before = tree.state()
    state = {name: a + a.dtype.type(1) for name, a in before.items()}
    damage(state)
    with pytest.raises(ShapeError, match=text) as caught:
        tree.load_state(state)
    assert "\n" not in str(caught.value)
    for name, a in tree.state().items():
        np.testing.assert_array_equal(a, before[name])


# dtype, copies, config ------------------------------------------------------------------------------------------------


def test_astype_changes_parameters_and_leaves_buffers():
    tree = Tree()
    x = np.ones((2, 3))
    values = tree.stem.w.numpy().copy()
    assert tree.astype("float64") is tree
    assert {p.dtype.name for p in tree.parameters()} == {"float64"}
    assert tree.branches[1][1].stream.dtype == "uint32"
    np.testing.assert_array_equal(tree.stem.w.numpy(), values.astype("float64"))
    assert tree.stem(x).dtype == "float64"


def test_astype_after_a_backward_forgets_the_gradient():
    """The array of the old gradient is gone; the next one must not be added to unset memory."""
    layer = nn.Dense(200, 100)
    x = np.ones((1, 200))
    layer(x).sum().backward()
    layer.astype("float64")
    assert layer.w.grad is None
    assert layer.w.grad_is_free
    (layer(x).sum() + layer(x).sum()).backward()
    np.testing.assert_array_equal(layer.w.grad.numpy(), 2.0)


def test_astype_refuses():
    layer = nn.Dense(2, 3)
    with pytest.raises(ConfigError, match="astype: expected float32 or float64; got int32"):
        layer.astype("int32")
    optim.SGD(layer, lr=0.1)
    with pytest.raises(ConfigError, match="astype: w belongs to an optimizer already; convert the model first"):
        layer.astype("float64")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_deep_copy_shares_nothing_but_the_backend(backend):
    tree = Tree().to(backend)
    tree.stem.b.requires_grad = False
    optim.Adam(tree)
    x = xpnn.tensor(np.ones((2, 3), "float32"), backend=backend)
    tree(x).sum().backward()
    twin = copy.deepcopy(tree)
    assert twin.heads["right"][1] is twin.stem
    assert not {id(p) for p in twin.parameters()} & {id(p) for p in tree.parameters()}
    for (name, p), (_, q) in zip(tree.named_parameters(), twin.named_parameters(), strict=True):
        assert q.backend is p.backend
        assert q.arena is None
        assert q.grad is None
        assert (q.decay, q.requires_grad) == (p.decay, p.requires_grad), name
        np.testing.assert_array_equal(p.numpy(), q.numpy())
        q.assign(np.zeros(q.shape))
    assert np.any(tree.stem.w.numpy() != 0)
    assert twin(x).shape == (2, 2)


def test_config_builds_the_same_module():
    layer = nn.Dense(3, 4, activation="relu", bias=False)
    config = layer.config()
    expected = {"in_features": 3, "out_features": 4, "activation": "relu", "bias": False, "init": "he_uniform"}
    assert config == expected
    assert nn.Dense(**config).config() == expected
    assert nn.Dropout(0.25).config() == {"rate": 0.25}
    assert nn.Activation("tanh").config() == {"name": "tanh"}
    assert nn.Flatten().config() == {}


def test_config_of_a_module_that_does_not_keep_its_arguments():
    class Wide(nn.Module):
        def __init__(self, width):
            self.layer = nn.Dense(2, width)

    with pytest.raises(ConfigError, match=r"Wide\.config: expected an attribute 'width', as in __init__"):
        Wide(3).config()


# Calling --------------------------------------------------------------------------------------------------------------


class Total(nn.Module):
    def __init__(self):
        self.w = parameter((2,), "ones")

    def forward(self, parts, scale=1.0, offset=None):
        total = sum(parts[1:], parts[0]) * self.w * scale
        return total if offset is None else total + offset


def test_a_list_of_tensors_stays_one():
    a, b = (xpnn.tensor([1.0, 2.0], requires_grad=True) for _ in range(2))
    Total()([a, b]).sum().backward()
    assert a.grad.numpy().tolist() == b.grad.numpy().tolist() == [1, 1]
    assert Total()([a.detach(), np.ones(2)]).numpy().tolist() == [2, 3]


def test_arguments_by_name():
    y = Total()(parts=np.array([[1.0, 2.0], [3.0, 4.0]]), offset=[0.5, 0.5], scale=2.0)
    assert y.dtype == np.dtype("float32")
    assert y.numpy().tolist() == [8.5, 12.5]


def test_a_module_without_forward():
    class Empty(nn.Module):
        pass

    with pytest.raises(NotImplementedError, match=r"Empty\.forward is not written"):
        Empty()(1.0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_raw_inputs_take_backend_and_dtype_of_the_parameters(backend, dtype):
    layer = nn.Dense(2, 3).astype(dtype).to(backend)
    rows = [[0.5, -1.0], [2.0, 0.25]]
    expected = layer(xpnn.tensor(rows, dtype=dtype, backend=backend)).numpy()
    inputs = [rows]
    if backends.get(backend).on_host:
        inputs += [np.array(rows), np.array(rows, "float32"), np.array(rows, ">f8"), np.asfortranarray(rows)]
    for x in inputs:
        out = layer(x)
        assert (out.dtype, out.backend.name) == (dtype, backend)
        np.testing.assert_array_equal(out.numpy(), expected)


def test_read_only_inputs_are_taken_and_inputs_are_not_written():
    x = np.ones((2, 3), "float32")
    x.flags.writeable = False
    Tree()(x).sum().backward()
    assert np.all(x == 1)


@pytest.mark.parametrize("x", [np.ones((2, 3), np.uint8), [[1, 2, 3]], np.ones((2, 3), bool)])
def test_whole_numbers_are_not_taken_for_features(x):
    """They may be pixels that want scaling, or indices; the caller says which."""
    with pytest.raises(DTypeError, match="dense: expected one floating-point dtype; got x .*Convert with .astype"):
        nn.Dense(3, 2)(x)


@pytest.mark.parametrize(
    ("x", "error", "text"),
    [
        ([[1.0, 2.0, 3.0], [4.0]], ShapeError, "tensor: expected lists of one length on each level"),
        ([["a"]], DTypeError, "expected a tensor, an array or numbers; got list"),
        (np.array(["a"]), DTypeError, "expected a tensor, an array or numbers; got ndarray"),
        (np.ones((2, 4)), ShapeError, r"dense: expected x \(N, 3\); got \(2, 4\)"),
    ],
)
def test_inputs_that_make_no_sense(x, error, text):
    with pytest.raises(error, match=text) as caught:
        nn.Dense(3, 2)(x)
    assert "\n" not in str(caught.value)


def test_inputs_on_another_backend():
    if len(BACKENDS) < 2:
        pytest.skip("one backend only")
    layer = nn.Dense(2, 3).to(BACKENDS[1])
    with pytest.raises(BackendError, match=rf"dense: expected one backend; got x on numpy and w on {BACKENDS[1]}"):
        layer(xpnn.tensor([[1.0, 2.0]], backend="numpy"))


def test_watchers_see_every_module_and_only_inside():
    seen = []
    tree = Tree().eval()
    with nn.watching(lambda module, out: seen.append((type(module).__name__, out.shape))):
        tree(np.ones((2, 3)))
    kinds = [kind for kind, _ in seen]
    assert kinds == ["Dense"] * 3 + ["Dropout", "Sequential"] + ["Dense"] * 3 + ["Tree"]
    assert seen[-1] == ("Tree", (2, 2))
    tree(np.ones((2, 3)))
    assert len(seen) == 9


def test_a_watcher_is_gone_after_an_error():
    def complain(module, out):
        raise ValueError("stop")

    layer = nn.Dense(1, 1)
    with pytest.raises(ValueError, match="stop"), nn.watching(complain):
        layer(np.ones((1, 1)))
    layer(np.ones((1, 1)))


@given(st.recursive(st.just(0), lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab"), inner)))
def test_any_nest_of_containers_is_searched(shape):
    made = []

    def grow(part):
        if isinstance(part, list):
            return [grow(entry) for entry in part]
        if isinstance(part, dict):
            return {key: grow(entry) for key, entry in part.items()}
        made.append(nn.Dense(1, 1))
        return made[-1]

    class Nest(nn.Module):
        pass

    nest = Nest()
    nest.parts = grow(shape)
    assert [id(p) for p in nest.parameters()] == [id(p) for layer in made for p in (layer.w, layer.b)]
    assert len(nest.state()) == 2 * len(made)
