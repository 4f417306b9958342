"""The state of a module: it comes back, and one that does not fit changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import optim
from xpnn.errors import ShapeError

from .conftest import BACKENDS, Tree


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
