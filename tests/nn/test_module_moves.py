"""Modules elsewhere: on another backend, in another dtype, in a copy."""

from __future__ import annotations

import copy

import numpy as np
import pytest

import xpnn
from xpnn import nn, optim
from xpnn.backends.numpy import NumpyBackend
from xpnn.core import backend as backends
from xpnn.errors import BackendError, ConfigError

from .conftest import BACKENDS, Tree

# Backends -------------------------------------------------------------------------------------------------------------


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


# dtypes and copies ----------------------------------------------------------------------------------------------------


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
