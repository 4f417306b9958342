"""The op families. Importing this package registers every op; a file put here is found by being here."""

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
from xpnn.ops.softmax import cross_entropy, log_softmax, softmax

__all__ = [
    "cross_entropy",
    "dense",
    "elu",
    "gelu",
    "hard_sigmoid",
    "leaky_relu",
    "log_softmax",
    "relu",
    "sigmoid",
    "silu",
    "softmax",
    "softplus",
    "step",
    "tanh",
]
