"""The simple recurrent layer."""

from __future__ import annotations

from typing import Any

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.nn.recurrent import Recurrent
from xpnn.ops.rnn import need_nonlinearity


class RNN(Recurrent):
    """The simple recurrent network over sequences x (N, T, in_features); the equation is at `xpnn.ops.rnn`.

    activation: "tanh" or "relu". The other arguments and the calls are those of `LSTM`. Parameters, by layer and
    direction k: w[k] (I, H) after Glorot, u[k] (H, H) orthogonal, b[k] (H,), 0.
    """

    gates = 1

    def __init__(
        self,
        in_features: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        output: str = "all",
        stateful: int = 0,
        activation: str = "tanh",
    ) -> None:
        need_nonlinearity(activation)
        super().__init__(in_features, hidden, layers, bidirectional, dropout, output, stateful)
        self.activation = activation

    def _run(self, k: int, x: Tensor, state: tuple[Any, ...], lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        return ops.rnn(x, self.w[k], self.u[k], self.b[k], state[0], lengths, reverse, self.activation)
