"""The GRU layer."""

from __future__ import annotations

from typing import Any

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.nn.module import parameter
from xpnn.nn.recurrent import Recurrent


class GRU(Recurrent):
    """Gated recurrent units over sequences x (N, T, in_features); the equations are at `xpnn.ops.gru`.

    Arguments and calls are those of `LSTM`. Parameters, by layer and direction k: w[k] (I, 3H) and u[k] (H, 3H), gates
    in the order r, z, n, each drawn on its own, after Glorot and orthogonal; b[k] (3H,) and bn[k] (H,), 0.
    """

    gates = 3

    def __init__(
        self,
        in_features: int,
        hidden: int,
        layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        output: str = "all",
        stateful: int = 0,
    ) -> None:
        super().__init__(in_features, hidden, layers, bidirectional, dropout, output, stateful)
        self.bn = [parameter((hidden,), "zeros", decay=False) for _ in self.b]

    @classmethod
    def _weights(cls, I: int, H: int) -> dict[str, tuple[int, ...]]:
        return {**super()._weights(I, H), "bn": (H,)}

    def _run(self, k: int, x: Tensor, state: tuple[Any, ...], lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        return ops.gru(x, self.w[k], self.u[k], self.b[k], self.bn[k], state[0], lengths, reverse)
