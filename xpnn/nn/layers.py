"""The layers without weights, and Sequential."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import Any

from xpnn import ops
from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Spec
from xpnn.core.random import DEFAULT, state_of
from xpnn.core.tensor import Tensor, tensor
from xpnn.errors import ConfigError, ShapeError, unknown
from xpnn.nn.module import Held, Module
from xpnn.ops.activation import ACTIVATIONS


class Sequential(Module):
    """Layers one after the other: Sequential(a, b)(x) = b(a(x)).

    >>> from xpnn import nn
    >>> model = nn.Sequential(nn.Flatten(), nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10))
    >>> [name for name, _ in model.named_parameters()]
    ['layers.1.w', 'layers.1.b', 'layers.2.w', 'layers.2.b']
    """

    def __init__(self, *layers: Module) -> None:
        for i, layer in enumerate(layers):
            if not isinstance(layer, Module):
                raise ConfigError(f"Sequential: expected modules; got {type(layer).__name__} as layer {i}")
        self.layers = list(layers)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x

    def __len__(self) -> int:
        return len(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)


class Flatten(Module):
    """(N, ...) to (N, product of the rest)."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(f"Flatten: expected x (N, ...); got {x.shape}")
        return x if x.ndim == 2 else x.reshape(x.shape[0], prod(x.shape[1:]))


class Activation(Module):
    """An activation as a layer of its own; `activation=` of the layer before it is the faster form.

    name: "step", "softmax", "log_softmax" or a name in `xpnn.ops.activation.ACTIVATIONS`; ConfigError otherwise.
    """

    def __init__(self, name: str) -> None:
        known = (*ACTIVATIONS, "step", "softmax", "log_softmax")
        if name not in known:
            raise unknown("activation", name, known)
        self.name = name

    def forward(self, x: Tensor) -> Tensor:
        return getattr(ops, self.name)(x)


class Dropout(Module):
    """In training, 0 with probability `rate` and x / (1 - rate) else; in evaluation x.

    The masks come from a Philox stream of the layer's own (`stream`, a buffer): the same on every backend, another one
    at every call, and resumed from a checkpoint. Srivastava et al., JMLR 15 (2014). ConfigError unless 0 <= rate < 1.
    """

    def __init__(self, rate: float = 0.5) -> None:
        if not 0 <= rate < 1:
            raise ConfigError(f"{type(self).__name__}: expected a rate from 0 up to 1; got {rate}")
        self.rate = rate
        self.stream = tensor(state_of(DEFAULT.seed()))

    @staticmethod
    def holds(**settings: Any) -> Held:
        return {"stream": ("uint32", (4,))}

    def forward(self, x: Tensor) -> Any:
        return self.drop(x) if self.training and self.rate else x

    def drop(self, x: Tensor) -> Tensor:
        return ops.dropout(x, self.stream, self.rate)


class SpatialDropout(Dropout):
    """`Dropout` of whole channels: x (N, ..., C), and one draw for each of the N C maps, as neighbours in an image or a
    sequence say much the same. Tompson, Goroshin, Jain, LeCun and Bregler, CVPR 2015, section 3.2. ShapeError below two
    axes; DTypeError for whole numbers."""

    def drop(self, x: Tensor) -> Tensor:
        if x.ndim < 2:
            raise ShapeError(f"SpatialDropout: expected x (N, ..., C); got {x.shape}")
        need_floating("SpatialDropout", x=Spec(x.shape, x.dtype))
        maps = Spec((x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]), x.dtype)
        return x * ops.dropout(Tensor(x.backend.full(maps, 1), x.backend), self.stream, self.rate)
