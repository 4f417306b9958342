"""Modules: what they find in themselves, and under which names."""

from __future__ import annotations

import copy

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import xpnn
from xpnn import nn
from xpnn.errors import ConfigError

from .conftest import Tree

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


def test_train_and_eval_reach_every_module():
    tree = Tree()
    assert tree.training
    assert tree.eval() is tree
    assert not any(m.training for _, m in tree.named_modules())
    assert tree.train() is tree
    assert all(m.training for _, m in tree.named_modules())
    assert nn.Dropout().training
