"""The op families. Importing this package registers every op: a file put here needs a line below."""

from __future__ import annotations

from xpnn.core import gather, random  # noqa: F401 - records that no function below imports
from xpnn.ops import update  # noqa: F401
from xpnn.ops.activation import (
    elu,
    gelu,
    hard_sigmoid,
    leaky_relu,
    relu,
    sigmoid,
    silu,
    softplus,
    step,
    tanh,
)
from xpnn.ops.dense import dense
from xpnn.ops.dropout import dropout
from xpnn.ops.gru import gru
from xpnn.ops.loss import (
    binary_cross_entropy,
    half_sum_of_squares,
    huber,
    l1,
    mean_squared_error,
    perceptron,
)
from xpnn.ops.lstm import lstm
from xpnn.ops.rnn import rnn
from xpnn.ops.softmax import cross_entropy, log_softmax, softmax

__all__ = [
    "binary_cross_entropy",
    "cross_entropy",
    "dense",
    "dropout",
    "elu",
    "gelu",
    "gru",
    "half_sum_of_squares",
    "hard_sigmoid",
    "huber",
    "l1",
    "leaky_relu",
    "log_softmax",
    "lstm",
    "mean_squared_error",
    "perceptron",
    "relu",
    "rnn",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "step",
    "tanh",
]
