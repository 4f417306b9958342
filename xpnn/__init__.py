"""xpnn: neural networks on NumPy, Numba and CuPy, with the backend chosen in code at any time."""

from __future__ import annotations

from xpnn import data, errors, losses, metrics, nn, ops, optim
from xpnn.core.backend import current as current_backend
from xpnn.core.backend import use
from xpnn.core.capture import capture
from xpnn.core.functions import concat, cos, exp, log, maximum, minimum, sign, sin, sqrt, stack, where
from xpnn.core.precision import current_precision, precision
from xpnn.core.random import seed
from xpnn.core.tape import no_grad
from xpnn.core.tensor import Parameter, Tensor, tensor
from xpnn.core.threads import get_num_threads, set_num_threads
from xpnn.core.transfers import transfers
from xpnn.errors import XpnnError
from xpnn.train import Trainer, load, save

__version__ = "0.1.0"

__all__ = [
    "Parameter",
    "Tensor",
    "Trainer",
    "XpnnError",
    "capture",
    "concat",
    "cos",
    "current_backend",
    "current_precision",
    "data",
    "errors",
    "exp",
    "get_num_threads",
    "load",
    "log",
    "losses",
    "maximum",
    "metrics",
    "minimum",
    "nn",
    "no_grad",
    "ops",
    "optim",
    "precision",
    "save",
    "seed",
    "set_num_threads",
    "sign",
    "sin",
    "sqrt",
    "stack",
    "tensor",
    "transfers",
    "use",
    "where",
]
