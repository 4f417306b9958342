"""What the recurrent layers share: stacking, both directions, states that are handed in, carried along or dropped."""

from __future__ import annotations

from functools import partial
from typing import Any, ClassVar

import numpy as np

from xpnn.core.copy import COPY
from xpnn.core.functions import concat
from xpnn.core.op import Spec
from xpnn.core.random import Generator
from xpnn.core.tape import apply, update
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.nn import init as initialisers
from xpnn.nn.layers import Dropout
from xpnn.nn.module import Held, Module, parameter

MOST_LAYERS = 256
"""Of one stack: more is nobody's network, and a description may come from anywhere."""


class State(tuple[tuple[Tensor, ...], ...]):
    """The state of a recurrent layer: for every layer and direction the tensors (N, H) that it carries, (h,) or (h, c).

    In the order layer 0, layer 1, ...; where there are two directions, forward before backward in each.
    """

    def detach(self) -> State:
        """The same state outside the graph: gradients go back no further (truncated backpropagation)."""
        return State(tuple(t.detach() for t in part) for part in self)


def begin_anew(model: Module) -> None:
    """Reset the state that recurrent layers of a model carry from batch to batch: its sequences begin anew."""
    for _, layer in model.named_modules():
        if isinstance(layer, Recurrent):
            layer.reset()


class Recurrent(Module):
    """The base of RNN, LSTM and GRU; see `LSTM` for the arguments."""

    gates: ClassVar[int]
    carries: ClassVar[tuple[str, ...]] = ("h",)

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
        self._need_settings(in_features, hidden, layers, bidirectional, dropout, output, stateful)
        self.in_features, self.hidden, self.layers, self.bidirectional = in_features, hidden, layers, bidirectional
        self.dropout, self.output, self.stateful = dropout, output, stateful
        inputs = self._inputs(in_features, hidden, layers, bidirectional)
        wide = self.gates * hidden
        self.w = [parameter((I, wide), self._by_gate(initialisers.glorot_uniform)) for I in inputs]
        self.u = [parameter((hidden, wide), self._by_gate(initialisers.orthogonal)) for _ in inputs]
        self.b = [parameter((wide,), self._first_bias, decay=False) for _ in inputs]
        self.between = Dropout(dropout) if dropout else None
        self.carried = [
            [tensor(np.zeros((stateful, hidden), np.float32)) for _ in self.carries] for _ in inputs if stateful
        ]

    @classmethod
    def _need_settings(cls, in_features, hidden, layers, bidirectional, dropout, output, stateful) -> None:
        name = cls.__name__
        for label, value, least in (
            ("in_features", in_features, 1),
            ("hidden", hidden, 1),
            ("layers", layers, 1),
            ("stateful", stateful, 0),
        ):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ConfigError(f"{name}: expected {label} as a whole number >= {least}; got {value!r}")
        if layers > MOST_LAYERS:
            raise ConfigError(f"{name}: expected at most {MOST_LAYERS} layers; got {layers}")
        if not isinstance(bidirectional, bool):
            raise ConfigError(f"{name}: expected bidirectional as True or False; got {bidirectional!r}")
        if not isinstance(dropout, (int, float)) or not 0 <= dropout < 1:
            raise ConfigError(f"{name}: expected dropout from 0 up to 1; got {dropout!r}")
        if dropout and layers == 1:
            raise ConfigError(f"{name}: dropout is between layers, and there is one. Put nn.Dropout after it")
        if output not in ("all", "last"):
            raise ConfigError(f"{name}: expected output 'all' or 'last'; got {output!r}")
        if stateful and bidirectional:
            raise ConfigError(f"{name}: a state that is carried on has one direction; use one of the two settings")

    @staticmethod
    def _inputs(in_features: int, hidden: int, layers: int, bidirectional: bool) -> list[int]:
        """The number of inputs of every layer and direction."""
        directions = 2 if bidirectional else 1
        return [in_features] * directions + [directions * hidden] * (directions * (layers - 1))

    @classmethod
    def holds(cls, **settings: Any) -> Held:
        settings.pop("activation", None)
        cls._need_settings(**settings)
        H, stateful = settings["hidden"], settings["stateful"]
        held: Held = {}
        for k, I in enumerate(
            cls._inputs(*[settings[s] for s in ("in_features", "hidden", "layers", "bidirectional")])
        ):
            for name, shape in cls._weights(I, H).items():
                held[f"{name}.{k}"] = "parameter", shape
            for i in range(len(cls.carries) if stateful else 0):
                held[f"carried.{k}.{i}"] = "float32", (stateful, H)
        if settings["dropout"]:
            held |= {"between": ("Dropout", None), "between.stream": ("uint32", (4,))}
        return held

    @classmethod
    def _weights(cls, I: int, H: int) -> dict[str, tuple[int, ...]]:
        return {"w": (I, cls.gates * H), "u": (H, cls.gates * H), "b": (cls.gates * H,)}

    @classmethod
    def _by_gate(cls, init: initialisers.Initialiser) -> initialisers.Initialiser:
        """Each gate is drawn as the matrix of its own that it is."""

        def draw(shape: tuple[int, ...], generator: Generator) -> np.ndarray:
            one = (shape[0], shape[1] // cls.gates)
            return np.concatenate([init(one, generator) for _ in range(cls.gates)], axis=1)

        return draw

    @staticmethod
    def _first_bias(shape: tuple[int, ...], generator: Generator) -> np.ndarray:
        return np.zeros(shape)

    # Running ------------------------------------------------------------------------------------------------------

    def _run(self, k: int, x: Tensor, state: tuple[Any, ...], lengths: Any, reverse: bool) -> tuple[Tensor, ...]:
        """Layer and direction k over the whole sequence: (y, *state)."""
        raise NotImplementedError

    def forward(self, x: Tensor, state: State | None = None, lengths: Any = None) -> Any:
        """y; or (y, State after the last step) where a state to begin with is given."""
        if x.ndim != 3 or x.shape[-1] != self.in_features:
            raise ShapeError(f"{type(self).__name__}: expected x (N, T, {self.in_features}); got {x.shape}")
        carry = bool(self.stateful) and state is None and self.training
        begin = self._carried_for(x) if carry else self._need_state(state)
        directions = 2 if self.bidirectional else 1
        y, after = x, []
        for layer in range(self.layers):
            if layer and self.between is not None:
                y = self.between(y)
            outs = []
            for k in range(layer * directions, (layer + 1) * directions):
                y_k, *last = self._run(k, y, begin[k], lengths, k % directions == 1)
                outs.append(y_k)
                after.append(tuple(last))
            y = outs[0] if len(outs) == 1 else concat(outs, axis=2)
        if carry:
            for slots, tensors in zip(self.carried, after, strict=True):
                for slot, t in zip(slots, tensors, strict=True):
                    update(COPY, slot, t)
        if self.output == "last":
            last_h = [part[0] for part in after[-directions:]]
            y = last_h[0] if len(last_h) == 1 else concat(last_h, axis=1)
        return y if state is None else (y, State(after))

    def step(self, x: Any, state: State | None = None) -> tuple[Tensor, State]:
        """One step, for decoding: x (N, in_features) to y (N, hidden) and the state to give to the next call.

        state: None begins with zeros. ConfigError for a layer with two directions.
        """
        if self.bidirectional:
            raise ConfigError(f"{type(self).__name__}.step: expected one direction; the other needs the whole sequence")
        x = as_tensor(x, self.w[0])
        if x.ndim != 2:
            raise ShapeError(f"{type(self).__name__}.step: expected x (N, {self.in_features}); got {x.shape}")
        y, after = self(x.reshape(len(x), 1, x.shape[1]), self.initial_state(len(x)) if state is None else state)
        return y.reshape(len(x), self.hidden), after

    def initial_state(self, batch: int) -> State:
        """All zeros, for so many sequences."""
        place, zeros = self.backend, Spec((batch, self.hidden), self.w[0].dtype)
        return State(tuple(Tensor(place.full(zeros, 0), place) for _ in self.carries) for _ in self.w)

    def reset(self) -> None:
        """Begin the carried state anew, with zeros: where a text or a series begins anew."""
        for slots in self.carried:
            for slot in slots:
                update(COPY, slot, Tensor(slot.backend.full(Spec(slot.shape, slot.dtype), 0), slot.backend))

    def _carried_for(self, x: Tensor) -> list[tuple[Tensor, ...]]:
        """The carried state in our dtype, and in memory of its own: backward reads it when it has been overwritten."""
        if x.shape[0] != self.stateful:
            raise ShapeError(
                f"{type(self).__name__}: expected batches of {self.stateful} sequences, whose state is carried on; "
                f"got {x.shape[0]}"
            )
        like = self.initial_state(self.stateful)
        return [tuple(map(partial(apply, COPY), part, slots)) for part, slots in zip(like, self.carried, strict=True)]

    def _need_state(self, state: Any) -> Any:
        """The state, part by part; zeros where there is none."""
        count, width = len(self.w), len(self.carries)
        if state is None:
            return [(None,) * width] * count
        if len(state) != count or any(len(part) != width for part in state):
            names = ", ".join(self.carries)
            raise ShapeError(
                f"{type(self).__name__}: expected a state of {count} parts ({names}); got {len(state)}. "
                "See .initial_state()"
            )
        return state
