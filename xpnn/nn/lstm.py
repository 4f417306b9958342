"""The LSTM layer."""

from __future__ import annotations

from typing import Any

import numpy as np

from xpnn import ops
from xpnn.core.random import Generator
from xpnn.core.tensor import Tensor
from xpnn.nn.recurrent import Recurrent


class LSTM(Recurrent):
    """Long short-term memory over sequences x (N, T, in_features); the equations are at `xpnn.ops.lstm`.

    hidden         H, units of each layer and direction
    layers         one on the outputs of the other
    bidirectional  two of each, forward and backward in time, their outputs side by side: y has 2H features
    dropout        between the layers, in training
    output         "all": y (N, T, H); "last": (N, H), for one answer to a sequence: h after each sequence's last step
                   (of the backward direction, after its first)
    stateful       N: in training the state of a batch of N sequences is carried to the next call, which goes on where
                   this one ended, without gradients across (truncated backpropagation; Williams and Peng, 1990). It is
                   a buffer: checkpoints keep it, `reset()` begins anew. In evaluation, and with 0, a call begins at 0

    lstm(x) is y. lstm(x, state) is (y, state after the last step): `state = lstm.initial_state(N)` to begin with,
    `state.detach()` where gradients shall stop. lstm(x, lengths=[...]): sequences of unequal length, padded behind;
    y is 0 there. `lstm.step(x_t, state)` is one step, for decoding.

    Parameters, by layer and direction k (forward before backward): w[k] (I, 4H) and u[k] (H, 4H), gates in the order i,
    f, g, o, each drawn on its own, after Glorot and orthogonal; b[k] (4H,), 0 but for the forget gate's, which is 1: at
    first a cell keeps what it has (Gers et al., Neural Computation 12, 2000; Jozefowicz et al., ICML 2015, sec. 2.2).
    Raises ConfigError for settings out of range, ShapeError in forward.
    """

    gates = 4
    carries = ("h", "c")

    @staticmethod
    def _first_bias(shape: tuple[int, ...], generator: Generator) -> np.ndarray:
        return np.repeat([0.0, 1.0, 0.0, 0.0], shape[0] // 4)

    def _run(self, k: int, x: Tensor, state: tuple[Any, ...], lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        h, c = state
        return ops.lstm(x, self.w[k], self.u[k], self.b[k], h, c, lengths, reverse)
