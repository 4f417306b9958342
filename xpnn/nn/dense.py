"""The dense layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError
from xpnn.nn import init as initialisers
from xpnn.nn.module import Held, Module, parameter
from xpnn.ops.activation import need_activation


class Dense(Module):
    """y = f(x w + b): x (..., in_features), w (in_features, out_features), b (out_features,).

    activation  None, "step" or a name in `xpnn.ops.activation.ACTIVATIONS`, fused into the op
    bias        False leaves b out
    init        name of an initialiser or a function of `xpnn.nn.init`; default: He's before rectifiers, else Glorot's

    Raises ConfigError for settings out of range, ShapeError in forward. See `xpnn.ops.dense` for the gradients.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        activation: str | None = None,
        bias: bool = True,
        init: str | initialisers.Initialiser | None = None,
    ) -> None:
        if not all(isinstance(n, (int, np.integer)) and n >= 1 for n in (in_features, out_features)):
            raise ConfigError(
                f"Dense: expected at least one input and output, whole numbers; got {in_features!r}, {out_features!r}"
            )
        if activation != "step":
            need_activation(activation)
        self.in_features, self.out_features = in_features, out_features
        self.activation, self.bias = activation, bias
        self.init = init or initialisers.for_activation(activation)
        self.w = parameter((in_features, out_features), self.init)
        self.b = parameter((out_features,), "zeros", decay=False) if bias else None

    @staticmethod
    def holds(**settings: Any) -> Held:
        I, O = settings["in_features"], settings["out_features"]
        w: Held = {"w": ("parameter", (I, O))}
        return w | {"b": ("parameter", (O,))} if settings["bias"] else w

    def forward(self, x: Tensor) -> Tensor:
        return ops.dense(x, self.w, self.b, self.activation)
