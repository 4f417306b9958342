"""Flat arenas: all parameters of an optimizer in one array, their gradients in another, its state in more.

Every parameter's `data` and gradient are views, so that one kernel steps over all of them, and moving the arena moves
weights, gradients and optimizer state together. Parameters that decay come first: "the first n elements" tells a
kernel which ones a penalty reaches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from xpnn.core.contract import Backend
from xpnn.core.op import Array, Spec
from xpnn.core.recording import active
from xpnn.core.tensor import Parameter
from xpnn.errors import BackendError, ConfigError, DTypeError

LINE = 64
"""Bytes of a cache line: every parameter begins on one, counted from the arena's start."""


class Arena:
    """flat      name -> flat array: "parameters", "gradients" and what the optimizer adds
    scalars   name -> 0-d float64 array: what changes each step ("lr", "step")
    decayed   the number of leading elements that penalties reach
    """

    def __init__(self, parameters: Sequence[Parameter]) -> None:
        for p in parameters:
            if not isinstance(p, Parameter):
                raise ConfigError(f"optimizer: expected a model or Parameters; got {type(p).__name__}")
        unique = list(dict.fromkeys(parameters))
        if not unique:
            raise ConfigError("optimizer: expected at least one parameter; got none")
        self.parameters = sorted(unique, key=lambda p: not p.decay)  # stable: the model's order within each kind
        self.backend: Backend = unique[0].backend
        self.dtype: np.dtype = unique[0].dtype
        for p in unique:
            if p.backend is not self.backend:
                raise BackendError(
                    f"optimizer: expected parameters on one backend; got {self.backend.device} and "
                    f"{p.backend.device}. Move the model first: model.to('{self.backend.device}')"
                )
            if p.dtype != self.dtype:
                raise DTypeError(f"optimizer: expected parameters of one dtype; got {self.dtype} and {p.dtype}")
        self._lay_out()
        self.flat: dict[str, Array] = {}
        self.scalars: dict[str, Array] = {}
        for name in ("parameters", "gradients"):
            self.add(name)
        for p, data, slot in zip(self.parameters, self.views("parameters"), self.views("gradients"), strict=True):
            self.backend.copy(p.data, data)
            p.data = data
            p.place_grad(slot)
            p.arena = self

    def _lay_out(self) -> None:
        step = LINE // self.dtype.itemsize
        self.slices: list[slice] = []
        start = self.decayed = 0
        for p in self.parameters:
            self.slices.append(slice(start, start + p.size))
            start += -(-p.size // step) * step
            if p.decay:
                self.decayed = start
        self.size = start

    def add(self, name: str) -> Array:
        """A new flat array of zeros."""
        array = self.backend.full(Spec((self.size,), self.dtype), 0)
        self.flat[name] = array
        return array

    def add_scalar(self, name: str, value: float) -> None:
        self.scalars[name] = self.backend.from_host(np.array(value, np.float64))

    def views(self, name: str) -> list[Array]:
        """The part of each parameter in a flat array, in the parameter's shape."""
        return self._cut(self.flat[name])

    def _cut(self, flat: Array) -> list[Array]:
        return [flat[s].reshape(p.shape) for p, s in zip(self.parameters, self.slices, strict=True)]

    def stretches(self) -> list[slice]:
        """Where the flat arrays may change: everywhere but at parameters that want no gradient (frozen ones)."""
        if all([p.requires_grad for p in self.parameters]):
            return [slice(0, self.size)]
        found: list[slice] = []
        stops = [*[s.start for s in self.slices[1:]], self.size]  # with the padding
        for p, s, stop in zip(self.parameters, self.slices, stops, strict=True):
            if p.requires_grad:
                start = found.pop().start if found and found[-1].stop == s.start else s.start
                found.append(slice(start, stop))
        return found

    def changed(self) -> None:
        """Tell the tape that the weights are others now."""
        recording = active()
        for p in self.parameters:
            p.version[0] += 1
            if recording is not None:
                recording.written(p.version)

    def moving(self, target: Backend) -> Callable[[], None]:
        """Copy everything to another backend; calling the answer makes arena and parameters live there.

        The parameters stay the same objects. One that another arena took over is left to it.
        """
        source = self.backend
        self.settle()
        flat, scalars = (
            {name: target.from_host(source.to_host(array)) for name, array in arrays.items()}
            for arrays in (self.flat, self.scalars)
        )
        views = list(zip(self._cut(flat["parameters"]), self._cut(flat["gradients"]), strict=True))

        def commit() -> None:
            self.backend, self.flat, self.scalars = target, flat, scalars
            for p, (data, slot) in zip(self.parameters, views, strict=True):
                if p.arena is self:
                    p.move(target, data, slot)

        return commit

    def settle(self) -> None:
        """Write the zeros of gradients that nothing has filled since `zero_grad`."""
        for p in self.parameters:
            if p.arena is self:
                p.settle_grad()

    def state(self) -> dict[str, np.ndarray]:
        """Everything but parameters and gradients, on the host: copies."""
        flat = {name: a for name, a in self.flat.items() if name not in ("parameters", "gradients")}
        return {name: self.backend.to_host(a).copy() for name, a in {**flat, **self.scalars}.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        """Take over what `state` gave; ConfigError when names or sizes are not this optimizer's."""
        mine = self.state()
        if set(state) != set(mine):
            raise ConfigError(f"optimizer state: expected {sorted(mine)}; got {sorted(state)}")
        for name, array in state.items():
            if array.shape != mine[name].shape or array.dtype != mine[name].dtype:
                raise ConfigError(
                    f"optimizer state {name}: expected {mine[name].shape} {mine[name].dtype}; "
                    f"got {array.shape} {array.dtype}"
                )
        for name, array in state.items():
            target = self.flat.get(name, self.scalars.get(name))
            self.backend.copy(self.backend.from_host(array), target)
