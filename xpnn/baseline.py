"""The network that everyone writes first: one object per neuron, one object per weight, no arrays.

It is here to be read, and to compare with: a chain of dense sigmoid layers, thousands of times slower. RHW is
Rumelhart, Hinton, Williams, "Learning representations by back-propagating errors", Nature 323 (1986):

    RHW 1   x_j = Σ_i y_i w_ji                      total input; a bias is the weight of a node that is 1
    RHW 2   y_j = 1 / (1 + exp(−x_j))               output
    RHW 3   E = ½ Σ_j (y_j − d_j)²                  loss, over the output nodes and their labels d
    RHW 5   δ_j = ∂E/∂x_j = ∂E/∂y_j y_j (1 − y_j)   delta of a node
    RHW 6   ∂E/∂w_ji = δ_j y_i                      gradient of a connection
    RHW 8   w ← w − rate ∂E/∂w                      update, here after every single sample

Only ∂E/∂y_j depends on the layer: y_j − d_j at the output (RHW 4), Σ_k δ_k w_kj before it (RHW 7).

>>> network = Network([2, 3, 1], seed=1)
>>> samples, labels = [[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [0], [0], [1]]  # the logical and
>>> network.train(labels, samples, rate=2.0, epochs=1000)
>>> [round(network.predict(sample)[0]) for sample in samples]
[0, 0, 0, 1]
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from itertools import pairwise
from numbers import Real
from typing import Any

from xpnn.errors import ConfigError, DataError, ShapeError


def sigmoid(x: float) -> float:
    """1 / (1 + exp(−x)), in the form whose exponent is never positive: exp(710) would overflow."""
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    return math.exp(x) / (1.0 + math.exp(x))


class Node:
    """A neuron: `output` is y, `delta` is δ = ∂E/∂x, with x its total input."""

    def __init__(self, layer_index: int, node_index: int) -> None:
        self.layer_index = layer_index
        self.node_index = node_index
        self.upstream: list[Connection] = []  # the connections that end here
        self.downstream: list[Connection] = []  # the connections that start here
        self.output = 0.0
        self.delta = 0.0

    def calc_output(self) -> None:
        """y_j = sigmoid(Σ_i y_i w_ji)  (RHW 1 and 2)."""
        self.output = sigmoid(sum(c.upstream_node.output * c.weight for c in self.upstream))

    def calc_output_layer_delta(self, label: float) -> None:
        """δ_j = (y_j − d_j) y_j (1 − y_j)  (RHW 4 in 5)."""
        self.delta = (self.output - label) * self.output * (1.0 - self.output)

    def calc_hidden_layer_delta(self) -> None:
        """δ_j = (Σ_k δ_k w_kj) y_j (1 − y_j)  (RHW 7 in 5); needs the deltas of the next layer."""
        blame = sum(c.downstream_node.delta * c.weight for c in self.downstream)
        self.delta = blame * self.output * (1.0 - self.output)

    def __str__(self) -> str:
        return f"node {self.layer_index}-{self.node_index}: output {self.output:.6g}, delta {self.delta:.6g}"


class ConstNode(Node):
    """The bias node: its output is always 1, so that the weight of its connection is the bias."""

    def __init__(self, layer_index: int, node_index: int) -> None:
        super().__init__(layer_index, node_index)
        self.output = 1.0


class Connection:
    """One weight, from a node to a node of the next layer, with the gradient of the loss by it."""

    def __init__(self, upstream_node: Node, downstream_node: Node, weight: float) -> None:
        self.upstream_node = upstream_node
        self.downstream_node = downstream_node
        self.weight = weight
        self.gradient = 0.0

    def calc_gradient(self) -> None:
        """∂E/∂w_ji = δ_j y_i  (RHW 6)."""
        self.gradient = self.downstream_node.delta * self.upstream_node.output

    def get_gradient(self) -> float:
        """The gradient last calculated."""
        return self.gradient

    def update_weight(self, rate: float) -> None:
        """w ← w − rate ∂E/∂w  (RHW 8)."""
        self.weight -= rate * self.gradient

    def __str__(self) -> str:
        i, j = self.upstream_node, self.downstream_node
        ends = f"{i.layer_index}-{i.node_index} -> {j.layer_index}-{j.node_index}"
        return f"connection {ends}: weight {self.weight:.6g}, gradient {self.gradient:.6g}"


class Connections(list[Connection]):
    """All the connections of a network, in the order in which they were made; `connect` tells both nodes."""

    def connect(self, upstream_node: Node, downstream_node: Node, weight: float) -> None:
        connection = Connection(upstream_node, downstream_node, weight)
        upstream_node.downstream.append(connection)
        downstream_node.upstream.append(connection)
        self.append(connection)


class Layer:
    """The neurons of one layer; its sources, which feed the next layer, are these and a bias node."""

    def __init__(self, layer_index: int, node_count: int) -> None:
        self.nodes = [Node(layer_index, i) for i in range(node_count)]
        self.sources = [*self.nodes, ConstNode(layer_index, node_count)]


class Network:
    """A fully connected sigmoid network, e.g. Network([784, 300, 10]), trained one sample at a time.

    Weights start uniform in [−0.1, 0.1], from `random.Random(seed)` node by node, the bias node last. A wrong
    length raises ShapeError, NaN or infinity DataError, a wrong setting ConfigError, before any weight changes.
    """

    def __init__(self, layers: Sequence[int], seed: int = 0) -> None:
        if len(layers) < 2 or any(not isinstance(size, int) or size < 1 for size in layers):
            raise ConfigError(f"baseline: expected two or more layer sizes >= 1, like [2, 3, 1]; got {layers}")
        rng = random.Random(seed)
        self.layers = [Layer(index, size) for index, size in enumerate(layers)]
        self.connections = Connections()
        for before, after in pairwise(self.layers):
            for upstream_node in before.sources:
                for downstream_node in after.nodes:
                    self.connections.connect(upstream_node, downstream_node, rng.uniform(-0.1, 0.1))

    def predict(self, sample: Sequence[float]) -> list[float]:
        """The outputs y of the last layer for one sample: forward, layer after layer."""
        sample = _numbers("sample", sample, len(self.layers[0].nodes))
        for node, value in zip(self.layers[0].nodes, sample, strict=True):
            node.output = value
        for layer in self.layers[1:]:
            for node in layer.nodes:
                node.calc_output()
        return [node.output for node in self.layers[-1].nodes]

    def loss(self, label: Sequence[float], sample: Sequence[float]) -> float:
        """E = ½ Σ_j (y_j − d_j)²  (RHW 3)."""
        label = _numbers("label", label, len(self.layers[-1].nodes))
        return 0.5 * sum((y - d) ** 2 for y, d in zip(self.predict(sample), label, strict=True))

    def get_gradient(self, label: Sequence[float], sample: Sequence[float]) -> None:
        """Set the gradient of every connection: outputs forward, then deltas backward from the last layer."""
        label = _numbers("label", label, len(self.layers[-1].nodes))
        self.predict(sample)
        for node, target in zip(self.layers[-1].nodes, label, strict=True):
            node.calc_output_layer_delta(target)
        for layer in self.layers[-2:0:-1]:
            for node in layer.nodes:
                node.calc_hidden_layer_delta()
        for connection in self.connections:
            connection.calc_gradient()

    def train_one_sample(self, label: Sequence[float], sample: Sequence[float], rate: float) -> None:
        """One step of gradient descent on one sample."""
        _check_positive("rate", rate)
        # No weight moves until every delta is known: a hidden delta is made of the next layer's old weights.
        self.get_gradient(label, sample)
        for connection in self.connections:
            connection.update_weight(rate)

    def train(self, labels: Sequence[Any], data_set: Sequence[Any], rate: float, epochs: int) -> None:
        """Online gradient descent: `epochs` passes over the samples, in the order given."""
        _items("labels", labels, len(data_set))
        if not isinstance(epochs, int) or epochs < 1:
            raise ConfigError(f"baseline: expected epochs as a whole number >= 1; got {epochs!r}")
        for index, (label, sample) in enumerate(zip(labels, data_set, strict=True)):  # all, before any step
            _numbers(f"label {index}", label, len(self.layers[-1].nodes))
            _numbers(f"sample {index}", sample, len(self.layers[0].nodes))
        for _ in range(epochs):
            for label, sample in zip(labels, data_set, strict=True):
                self.train_one_sample(label, sample, rate)

    def gradient_check(self, label: Sequence[float], sample: Sequence[float], epsilon: float = 1e-4) -> float:
        """The largest difference between the gradients g and the slopes s = (E(w + ε) − E(w − ε)) / 2ε.

        It is |g − s| / max(|g|, |s|, 1e-3); the floor is there because s itself is only good to about 1e-11.
        """
        _check_positive("epsilon", epsilon)
        self.get_gradient(label, sample)  # first, to refuse bad input while every weight is in its place
        differences = []
        for connection in self.connections:
            weight = connection.weight
            connection.weight = weight + epsilon
            above = self.loss(label, sample)
            connection.weight = weight - epsilon
            below = self.loss(label, sample)
            connection.weight = weight  # put back, not added back: adding rounds
            g, s = connection.get_gradient(), (above - below) / (2.0 * epsilon)
            differences.append(abs(g - s) / max(abs(g), abs(s), 1e-3))
        return max(differences)

    def weights(self) -> list[tuple[list[list[float]], list[float]]]:
        """(W, b) of each layer after the input, as dense layers keep them: W is I x O, b has O."""
        tables = [[[c.weight for c in node.downstream] for node in x.sources] for x in self.layers[:-1]]
        return [(rows[:-1], rows[-1]) for rows in tables]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Take the weights that `weights()` gives, or arrays of the same shapes."""
        values: list[float] = []  # all are checked before the first is set
        for k, pair in enumerate(_items("weights", weights, len(self.layers) - 1)):
            W, b = _items(f"weights {k}", pair, 2)
            I, O = len(self.layers[k].nodes), len(self.layers[k + 1].nodes)
            for i, row in enumerate(_items(f"W {k}", W, I)):
                values += _numbers(f"W {k} row {i}", row, O)
            values += _numbers(f"b {k}", b, O)
        for connection, value in zip(self.connections, values, strict=True):
            connection.weight = value

    def dump(self) -> str:
        """Every node, and below it the connections that lead to it, as text."""
        blocks = [[node, *node.upstream] for layer in self.layers for node in layer.sources]
        return "\n".join("\n    ".join(map(str, block)) for block in blocks)


def _items(name: str, values: Any, count: int) -> list[Any]:
    try:
        items, came = list(values), str(len(values))
    except TypeError:  # a single number
        items, came = [], type(values).__name__
    if came != str(count):
        raise ShapeError(f"baseline: {name}: expected {count} items; got {came}")
    return items


def _numbers(name: str, values: Any, count: int) -> list[float]:
    items = _items(name, values, count)
    for index, item in enumerate(items):
        if not isinstance(item, Real) or not math.isfinite(item):
            raise DataError(f"baseline: {name}: expected finite numbers; got {str(item)[:30]!r} at {index}")
    return [float(item) for item in items]


def _check_positive(name: str, value: float) -> None:
    if not 0.0 < value < math.inf:
        raise ConfigError(f"baseline: expected {name} as a finite number > 0; got {value!r}")
