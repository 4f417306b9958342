"""Initialisers: functions of a shape and a generator that give float64 weights on the host.

Drawn there on every backend, so that a seed means the same weights everywhere. fan_in and fan_out count the inputs and
outputs of one unit: I and O for a weight (I, O), times the window for a convolution (KH, KW, I, O).
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod, sqrt

import numpy as np

from xpnn.core.random import Generator
from xpnn.errors import ConfigError, unknown

Shape = tuple[int, ...]
Initialiser = Callable[[Shape, Generator], np.ndarray]


def fans(shape: Shape) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (..., I, O); a vector counts as one input."""
    if len(shape) < 2:
        return 1, prod(shape)
    window = prod(shape[:-2])
    return window * shape[-2], window * shape[-1]


def zeros(shape: Shape, generator: Generator) -> np.ndarray:
    """All 0: for biases."""
    return np.zeros(shape)


def ones(shape: Shape, generator: Generator) -> np.ndarray:
    """All 1: for gains."""
    return np.ones(shape)


def uniform(low: float = -0.1, high: float = 0.1) -> Initialiser:
    """Uniform in [low, high)."""
    return lambda shape, generator: generator.uniform(shape, low, high)


def normal(std: float = 0.01, mean: float = 0.0) -> Initialiser:
    """Normal with this standard deviation."""
    return lambda shape, generator: generator.normal(shape, mean, std)


def glorot_uniform(shape: Shape, generator: Generator) -> np.ndarray:
    """Uniform in +-sqrt(6 / (fan_in + fan_out)). Glorot and Bengio, AISTATS 2010, eq. 16."""
    bound = sqrt(6 / sum(fans(shape)))
    return generator.uniform(shape, -bound, bound)


def glorot_normal(shape: Shape, generator: Generator) -> np.ndarray:
    """Normal, variance 2 / (fan_in + fan_out). Glorot and Bengio, AISTATS 2010, eq. 12."""
    return generator.normal(shape, std=sqrt(2 / sum(fans(shape))))


def he_uniform(shape: Shape, generator: Generator) -> np.ndarray:
    """Uniform of variance 2 / fan_in. He, Zhang, Ren and Sun, ICCV 2015, eq. 10."""
    bound = sqrt(6 / fans(shape)[0])
    return generator.uniform(shape, -bound, bound)


def he_normal(shape: Shape, generator: Generator) -> np.ndarray:
    """Normal, variance 2 / fan_in, for rectifiers. He, Zhang, Ren and Sun, ICCV 2015, eq. 10."""
    return generator.normal(shape, std=sqrt(2 / fans(shape)[0]))


def lecun_uniform(shape: Shape, generator: Generator) -> np.ndarray:
    """Uniform of variance 1 / fan_in. LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), section 4.6."""
    bound = sqrt(3 / fans(shape)[0])
    return generator.uniform(shape, -bound, bound)


def lecun_normal(shape: Shape, generator: Generator) -> np.ndarray:
    """Normal, variance 1 / fan_in. LeCun, Bottou, Orr and Müller, Efficient BackProp (1998), eq. 16."""
    return generator.normal(shape, std=sqrt(1 / fans(shape)[0]))


def orthogonal(shape: Shape, generator: Generator) -> np.ndarray:
    """Orthonormal rows or columns. Saxe, McClelland and Ganguli, ICLR 2014, section 3."""
    if len(shape) < 2:
        raise ConfigError(f"orthogonal: expected a shape (..., I, O); got {shape}")
    rows, columns = prod(shape[:-1]), shape[-1]
    q, r = np.linalg.qr(generator.normal((max(rows, columns), min(rows, columns))))
    q = q * np.sign(np.diagonal(r))  # makes the draw uniform over the orthogonal matrices
    return (q if rows >= columns else q.T).reshape(shape)


INITIALISERS: dict[str, Initialiser] = {
    f.__name__: f
    for f in (
        zeros,
        ones,
        glorot_uniform,
        glorot_normal,
        he_uniform,
        he_normal,
        lecun_uniform,
        lecun_normal,
        orthogonal,
    )
}
INITIALISERS["uniform"] = uniform()
INITIALISERS["normal"] = normal()
INITIALISERS["standard_normal"] = normal(std=1.0)


def get(name: str | Initialiser) -> Initialiser:
    """The initialiser of this name (a function is given back as it is); ConfigError when there is none."""
    if callable(name):
        return name
    if name not in INITIALISERS:
        raise unknown("initialiser", name, INITIALISERS)
    return INITIALISERS[name]


def for_activation(activation: str | None) -> str:
    """The default for weights that feed this activation: He's before rectifiers and their kin, Glorot's elsewhere."""
    rectifiers = ("relu", "leaky_relu", "elu", "gelu", "silu", "softplus")
    return "he_uniform" if activation in rectifiers else "glorot_uniform"
