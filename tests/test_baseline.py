"""The object-per-neuron network against finite differences, against arrays, and against bad input."""

import math

import numpy as np
import pytest

import xpnn.baseline
from xpnn.baseline import ConstNode, Network, sigmoid
from xpnn.errors import ConfigError, DataError, ShapeError

XOR_SAMPLES = [[0, 0], [0, 1], [1, 0], [1, 1]]
XOR_LABELS = [[0], [1], [1], [0]]


def wide_network(layers, seed):
    """Weights in [−1, 1]: from [−0.1, 0.1] the gradients of the first layers would be too small to check."""
    network = Network(layers, seed)
    network.set_weights([(10 * np.array(W), 10 * np.array(b)) for W, b in network.weights()])
    return network


def train_arrays(weights, labels, samples, rate):
    """One pass of online gradient descent in arrays: the same equations, written another way."""
    Ws = [np.array(W) for W, _ in weights]
    bs = [np.array(b) for _, b in weights]
    for label, sample in zip(labels, samples, strict=True):
        ys = [np.asarray(sample)]
        for W, b in zip(Ws, bs, strict=True):
            ys.append(1 / (1 + np.exp(-(ys[-1] @ W + b))))
        dy = ys[-1] - label
        gradients = []
        for k in reversed(range(len(Ws))):
            dx = dy * ys[k + 1] * (1 - ys[k + 1])
            gradients.append((k, np.outer(ys[k], dx), dx))
            dy = Ws[k] @ dx
        for k, dW, db in gradients:
            Ws[k] = Ws[k] - rate * dW
            bs[k] = bs[k] - rate * db
    return Ws, bs


def changed_weights(network):
    """A copy of the weights with a place to damage."""
    return [([list(row) for row in W], list(b)) for W, b in network.weights()]


@pytest.mark.parametrize("layers", [[3, 2], [4, 5, 3], [5, 4, 6, 3], [2, 1, 1, 1, 2]])
def test_gradients_are_the_slopes_of_the_loss(layers):
    rng = np.random.default_rng(0)
    network = wide_network(layers, seed=1)
    before = network.weights()
    sample, label = rng.uniform(-1, 1, layers[0]), rng.uniform(0.1, 0.9, layers[-1])
    assert network.gradient_check(label, sample) < 1e-7
    assert network.weights() == before


def test_gradient_check_sees_a_wrong_gradient(monkeypatch):
    network = wide_network([3, 4, 2], seed=1)
    monkeypatch.setattr("xpnn.baseline.Node.calc_hidden_layer_delta", lambda node: setattr(node, "delta", node.output))
    assert network.gradient_check([0.1, 0.9], [0.2, -0.4, 0.6]) > 1e-2


def test_one_node_by_hand():
    network = Network([1, 1])
    network.set_weights([([[0.5]], [-1.0])])
    y = 1 / (1 + math.exp(0.0))  # 2 * 0.5 − 1
    network.train_one_sample([1.0], [2.0], rate=0.8)
    delta = (y - 1) * y * (1 - y)
    [([[w]], [b])] = network.weights()
    assert w == pytest.approx(0.5 - 0.8 * delta * 2.0, abs=1e-16)
    assert b == pytest.approx(-1.0 - 0.8 * delta, abs=1e-16)
    assert [c.get_gradient() for c in network.connections] == pytest.approx([2 * delta, delta], abs=1e-16)


@pytest.mark.parametrize("layers", [[6, 3], [8, 5, 3], [7, 6, 5, 4]])
def test_agrees_with_arrays_after_100_samples(layers):
    rng = np.random.default_rng(2)
    samples, labels = rng.random((100, layers[0])), rng.choice([0.1, 0.9], (100, layers[-1]))
    network = wide_network(layers, seed=3)
    start = network.weights()
    Ws, bs = train_arrays(start, labels, samples, rate=0.7)
    network.train(labels, samples, rate=0.7, epochs=1)
    for (W, b), (W0, _), W_expected, b_expected in zip(network.weights(), start, Ws, bs, strict=True):
        np.testing.assert_allclose(W, W_expected, rtol=0, atol=1e-12)
        np.testing.assert_allclose(b, b_expected, rtol=0, atol=1e-12)
        assert np.abs(np.subtract(W, W0)).max() > 1e-3  # and it did move


def test_learns_xor():
    network = wide_network([2, 4, 1], seed=0)
    network.train(XOR_LABELS, XOR_SAMPLES, rate=3.0, epochs=1000)
    for label, sample in zip(XOR_LABELS, XOR_SAMPLES, strict=True):
        assert network.predict(sample) == pytest.approx(label, abs=0.15)


def test_train_is_train_one_sample_in_order():
    together, one_by_one = Network([2, 3, 1]), Network([2, 3, 1])
    together.train(XOR_LABELS, XOR_SAMPLES, rate=0.5, epochs=2)
    for label, sample in 2 * list(zip(XOR_LABELS, XOR_SAMPLES, strict=True)):
        one_by_one.train_one_sample(label, sample, rate=0.5)
    assert together.weights() == one_by_one.weights()


def test_initial_weights_come_from_the_seed():
    first, again, other = Network([3, 4, 2], seed=5), Network([3, 4, 2], seed=5), Network([3, 4, 2], seed=6)
    assert first.weights() == again.weights() != other.weights()
    values = [c.weight for c in first.connections]
    assert len(values) == (3 + 1) * 4 + (4 + 1) * 2
    assert min(values) >= -0.1
    assert max(values) <= 0.1
    assert min(values) < 0 < max(values)


def test_weights_have_the_layout_of_dense_layers_and_come_back():
    network = Network([3, 4, 2], seed=5)
    assert [(np.shape(W), np.shape(b)) for W, b in network.weights()] == [((3, 4), (4,)), ((4, 2), (2,))]
    first = network.layers[0]
    W, b = network.weights()[0]
    assert W[2][1] == first.nodes[2].downstream[1].weight
    assert isinstance(first.sources[-1], ConstNode)
    assert b[3] == first.sources[-1].downstream[3].weight

    copy = Network([3, 4, 2], seed=0)
    copy.set_weights(network.weights())
    assert copy.weights() == network.weights()
    assert copy.predict([1, 2, 3]) == network.predict([1, 2, 3])


@pytest.mark.parametrize("x", [0.0, -0.0, 1e-9, -1e-9, 0.3, -0.3, 5.0, -5.0, 36.0, -36.0, 700.0, -700.0])
def test_sigmoid_is_its_formula(x):
    assert sigmoid(x) == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-15, abs=0)


@pytest.mark.parametrize(("x", "y"), [(1e4, 1.0), (-1e4, 0.0), (math.inf, 1.0), (-math.inf, 0.0)])
def test_sigmoid_saturates_without_overflow(x, y):
    assert sigmoid(x) == y


def test_dump_is_stable_text():
    network = Network([1, 1])
    network.set_weights([([[0.5]], [-1.0])])
    network.get_gradient([1.0], [2.0])
    assert network.dump() == (
        "node 0-0: output 2, delta 0\n"
        "node 0-1: output 1, delta 0\n"
        "node 1-0: output 0.5, delta -0.125\n"
        "    connection 0-0 -> 1-0: weight 0.5, gradient -0.25\n"
        "    connection 0-1 -> 1-0: weight -1, gradient -0.125\n"
        "node 1-1: output 1, delta 0"
    )
    assert network.dump() == network.dump()


BAD_DATA = [
    (lambda n: n.predict([1.0]), ShapeError, "sample: expected 2 items; got 1"),
    (lambda n: n.predict([1.0, 2.0, 3.0]), ShapeError, "sample: expected 2 items; got 3"),
    (lambda n: n.predict(1.0), ShapeError, "sample: expected 2 items; got float"),
    (lambda n: n.predict(np.array(1.0)), ShapeError, "sample: expected 2 items; got ndarray"),
    (lambda n: n.predict([1.0, math.nan]), DataError, "sample: expected finite numbers; got 'nan' at 1"),
    (lambda n: n.predict([math.inf, 1.0]), DataError, "sample: expected finite numbers; got 'inf' at 0"),
    (lambda n: n.predict(["a\nb", 1.0]), DataError, r"sample: expected finite numbers; got 'a\\nb' at 0"),
    (lambda n: n.predict(np.ones((2, 2))), DataError, "sample: expected finite numbers"),
    (lambda n: n.get_gradient(1, [0, 0]), ShapeError, "label: expected 2 items; got int"),
    (lambda n: n.gradient_check([1], [0, 0]), ShapeError, "label: expected 2 items; got 1"),
    (lambda n: n.gradient_check([1, 0], [0, math.nan]), DataError, "sample: expected finite numbers"),
    (lambda n: n.train_one_sample([1, math.nan], [0, 0], 0.1), DataError, "label: expected finite numbers"),
    (lambda n: n.train([[1, 0]], [[0, 0], [1, 1]], 0.1, 1), ShapeError, "labels: expected 2 items; got 1"),
    (lambda n: n.train([[1, 0]] * 2, [[0, 0], [1]], 0.1, 1), ShapeError, "sample 1: expected 2 items; got 1"),
    (lambda n: n.train([[1, 0], [1, math.nan]], [[0, 0]] * 2, 0.1, 1), DataError, "label 1: expected finite"),
    (lambda n: n.train([[1, 0]], [[0, 0]], 0.1, 0), ConfigError, "epochs"),
    (lambda n: n.train([[1, 0]], [[0, 0]], 0.1, 1.5), ConfigError, "epochs"),
    (lambda n: n.train([[1, 0]], [[0, 0]], -0.1, 1), ConfigError, "rate"),
    (lambda n: n.train_one_sample([1, 0], [0, 0], math.nan), ConfigError, "rate"),
    (lambda n: n.gradient_check([1, 0], [0, 0], epsilon=0.0), ConfigError, "epsilon"),
    (lambda n: n.set_weights(n.weights()[:1]), ShapeError, "weights: expected 2 items; got 1"),
    (lambda n: n.set_weights([1, 2]), ShapeError, "weights 0: expected 2 items; got int"),
    (lambda n: n.set_weights(Network([2, 4, 2]).weights()), ShapeError, "W 0 row 0: expected 3 items; got 4"),
    (lambda n: n.set_weights(Network([4, 3, 2]).weights()), ShapeError, "W 0: expected 2 items; got 4"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD_DATA)
def test_bad_input_is_one_line_and_changes_no_weight(call, error, message):
    network = Network([2, 3, 2], seed=1)
    before = network.weights()
    with pytest.raises(error, match=message) as caught:
        call(network)
    assert str(caught.value).startswith("baseline: ")
    assert "\n" not in str(caught.value)
    assert network.weights() == before


@pytest.mark.parametrize(
    ("damage", "error", "message"),
    [
        (lambda weights: weights[1][1].pop(), ShapeError, "b 1: expected 2 items; got 1"),
        (lambda weights: weights[1][0][2].append(0.0), ShapeError, "W 1 row 2: expected 2 items; got 3"),
        (lambda weights: weights[1][1].__setitem__(1, math.nan), DataError, "b 1: expected finite .* at 1"),
    ],
)
def test_damaged_weights_leave_the_old_ones(damage, error, message):
    network = Network([2, 3, 2], seed=1)
    before = network.weights()
    weights = changed_weights(Network([2, 3, 2], seed=9))
    damage(weights)
    with pytest.raises(error, match=message):
        network.set_weights(weights)
    assert network.weights() == before


@pytest.mark.parametrize("layers", [[], [3], [3, 0], [3, -1, 2], [3, 2.5], ["3", 2]])
def test_bad_layer_sizes(layers):
    with pytest.raises(ConfigError, match="two or more layer sizes"):
        Network(layers)


def test_needs_no_arrays():
    assert not {"np", "numpy"} & set(vars(xpnn.baseline))
    [([[w]], [b])] = Network([1, 1]).weights()
    assert type(w) is type(b) is type(Network([1, 1]).predict([np.float32(1)])[0]) is float
