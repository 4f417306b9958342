"""The op families. Importing this package registers every op: a file put here needs a line below."""

from __future__ import annotations

from xpnn.core import confusion, copy, gather, hits, random, shift, tally  # noqa: F401 - records, no functions
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
from xpnn.ops.attention import attention
from xpnn.ops.batch_norm import batch_norm, batch_norm_inference
from xpnn.ops.conv import conv1d, conv2d
from xpnn.ops.conv_transpose import conv_transpose2d
from xpnn.ops.dense import dense
from xpnn.ops.dropout import dropout
from xpnn.ops.embedding import embedding, one_hot
from xpnn.ops.group_norm import group_norm
from xpnn.ops.gru import gru
from xpnn.ops.layer_norm import layer_norm
from xpnn.ops.loss import (
    binary_cross_entropy,
    half_sum_of_squares,
    huber,
    l1,
    mean_squared_error,
    perceptron,
)
from xpnn.ops.lstm import lstm
from xpnn.ops.pool import (
    avg_pool1d,
    avg_pool2d,
    global_avg_pool,
    global_max_pool,
    max_pool1d,
    max_pool2d,
)
from xpnn.ops.rnn import rnn
from xpnn.ops.softmax import cross_entropy, log_softmax, softmax
from xpnn.ops.upsample import upsample2d

__all__ = [
    "attention",
    "avg_pool1d",
    "avg_pool2d",
    "batch_norm",
    "batch_norm_inference",
    "binary_cross_entropy",
    "conv1d",
    "conv2d",
    "conv_transpose2d",
    "cross_entropy",
    "dense",
    "dropout",
    "elu",
    "embedding",
    "gelu",
    "global_avg_pool",
    "global_max_pool",
    "group_norm",
    "gru",
    "half_sum_of_squares",
    "hard_sigmoid",
    "huber",
    "l1",
    "layer_norm",
    "leaky_relu",
    "log_softmax",
    "lstm",
    "max_pool1d",
    "max_pool2d",
    "mean_squared_error",
    "one_hot",
    "perceptron",
    "relu",
    "rnn",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "step",
    "tanh",
    "upsample2d",
]
