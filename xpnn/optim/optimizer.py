"""What all optimizers share: the arena, clipping, the learning rate, and one update op a step."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np

from xpnn.core.op import Op, Spec
from xpnn.core.recording import active
from xpnn.core.select import CLIP
from xpnn.core.tensor import Parameter, Tensor
from xpnn.errors import ConfigError, hint
from xpnn.ops.update import CLIP_NORM
from xpnn.optim.arena import Arena


def need(condition: bool, owner: str, expected: str, value: object) -> None:
    """ConfigError unless a setting is in its range."""
    if not condition:
        raise ConfigError(f"{owner}: expected {expected}; got {value}")


def number(owner: str, name: str, value: Any) -> float:
    """A setting as a float; ConfigError for what is no number, text included."""
    try:
        if isinstance(value, (str, bytes)):
            raise TypeError
        return float(value)
    except (TypeError, ValueError):
        raise ConfigError(f"{owner}: expected {name} as a number; got {value!r}") from None


class Optimizer:
    """The base of all. Subclasses name their update op, its states and its attributes.

    parameters   a model, or an iterable of Parameters; may be left out and given to `bind` (a Trainer does)
    lr           learning rate, > 0; `optimizer.lr = x` changes it at any time
    l1, l2       penalties l1 |p| and l2 p^2 / 2 on the parameters that decay (weights; not biases or gains)
    clip_value   every element of the gradient is clipped to -clip_value..clip_value first
    clip_norm    then the whole gradient is scaled to a Euclidean norm of at most clip_norm

    Raises ConfigError for settings out of range.
    """

    reports = True  # to recordings, see `_settings`
    op: ClassVar[Op]
    states: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        parameters: Any = None,
        *,
        lr: float,
        l1: float = 0.0,
        l2: float = 0.0,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        **attrs: Any,
    ) -> None:
        name = type(self).__name__
        lr, l1, l2 = number(name, "lr", lr), number(name, "l1", l1), number(name, "l2", l2)
        clip_value = None if clip_value is None else number(name, "clip_value", clip_value)
        clip_norm = None if clip_norm is None else number(name, "clip_norm", clip_norm)
        need(lr > 0 and np.isfinite(lr), name, "lr > 0", lr)
        need(l1 >= 0 and l2 >= 0, name, "l1 >= 0 and l2 >= 0", (l1, l2))
        need(clip_value is None or clip_value > 0, name, "clip_value > 0", clip_value)
        need(clip_norm is None or clip_norm > 0, name, "clip_norm > 0", clip_norm)
        known = [setting for setting in self.op.cases[0].attrs if setting != "decayed"]
        for setting in attrs:
            if setting not in known:
                meant = hint(setting, [*known, "lr", "clip_value", "clip_norm"])
                raise ConfigError(f"{name}: setting {setting!r} is unknown{meant}")
        self.attrs = {**attrs, "l1": l1, "l2": l2}
        self.clip_value, self.clip_norm = clip_value, clip_norm
        self._lr = lr
        self._arena: Arena | None = None
        if parameters is not None:
            self.bind(parameters)

    def bind(self, parameters: Any) -> Self:
        """Pack these parameters into an arena of this optimizer's own, with fresh state.

        Another optimizer that had them is done with them: its next step raises ConfigError.
        """
        listed: Iterable[Parameter] = parameters.parameters() if hasattr(parameters, "parameters") else parameters
        expected = "a model or Parameters (and the rate as lr=)"
        need(isinstance(listed, Iterable), type(self).__name__, expected, type(listed).__name__)
        self._arena = Arena(list(listed))
        for state in self.states:
            self._arena.add(state)
        self._arena.add_scalar("lr", self._lr)
        self._arena.add_scalar("step", 0)
        return self

    @property
    def bound(self) -> bool:
        return self._arena is not None

    @property
    def arena(self) -> Arena:
        if self._arena is None:
            raise ConfigError(f"{type(self).__name__}: expected parameters; got none. Use .bind(model)")
        return self._arena

    @property
    def lr(self) -> float:
        """The learning rate of the next step."""
        return self._lr

    @lr.setter
    def lr(self, value: float) -> None:
        value = number(type(self).__name__, "lr", value)
        need(value >= 0 and np.isfinite(value), type(self).__name__, "lr >= 0", value)
        self._lr = value
        if self._arena is not None:
            self._arena.backend.fill(self._arena.scalars["lr"], self._lr)

    def zero_grad(self) -> None:
        """Forget the gradients. The next backward pass overwrites them."""
        for p in self.arena.parameters:
            p.zero_grad()

    def step(self, unless: Tensor | None = None) -> None:
        """One update of every parameter, in place, by the gradients gathered since `zero_grad`.

        A parameter whose requires_grad is False is frozen: neither it nor its state changes. unless: a scalar of
        int64; where it is not 0 nothing changes, which the update itself sees: nobody waits for the number.
        """
        arena, recording = self.arena, active()
        if recording is not None:
            recording.guard(self._settings)
        if any([p.arena is not arena for p in arena.parameters]):
            raise ConfigError(
                f"{type(self).__name__}: another optimizer has taken over parameters of this one. Bind it to others"
            )
        for p in arena.parameters:
            if not p.requires_grad:
                p.zero_grad()  # what it gathered before it was frozen must not count in the norm
        arena.settle()
        backend, flat = arena.backend, arena.flat
        gradients = flat["gradients"]
        if self.clip_value is not None:
            backend.forward(CLIP, (gradients,), {"low": -self.clip_value, "high": self.clip_value}, out=(gradients,))
        if self.clip_norm is not None:
            norm = backend.new(Spec((), arena.dtype))
            backend.forward(CLIP_NORM, (gradients,), {"limit": self.clip_norm}, out=(gradients, norm))
        lr, counters = arena.scalars["lr"], [arena.scalars[name] for name in ("step",) if name in self.op.inputs]
        condition = [] if unless is None else [unless.data]
        if recording is not None and unless is not None:
            recording.used(self.op, [unless])
        stretches = arena.stretches()
        for part in stretches:
            p, g, *states = [flat[name][part] for name in ("parameters", "gradients", *self.states)]
            # Steps are counted once, whatever the number of stretches.
            counted = counters if part is stretches[-1] else [backend.new(Spec((), a.dtype)) for a in counters]
            decayed = min(max(arena.decayed - part.start, 0), part.stop - part.start)
            attrs = {**self.attrs, "decayed": decayed}
            backend.forward(self.op, (p, g, *states, lr, *counters, *condition), attrs, out=(p, *states, *counted))
        arena.changed()

    def _settings(self) -> tuple[Any, ...]:
        """All that decides what a step does, but for the numbers in arrays."""
        arena = self.arena
        return (
            *self.attrs.values(),
            self.clip_value,
            self.clip_norm,
            id(arena),
            arena.backend,
            *[p.requires_grad and p.arena is arena for p in arena.parameters],
        )

    def state(self) -> dict[str, np.ndarray]:
        """What a checkpoint keeps beside the weights: flat state arrays, "lr" and "step"."""
        return self.arena.state()

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Go on from what `state` gave. ConfigError when it is another optimizer's or another model's."""
        self.arena.load_state(state)
        self._lr = float(state["lr"])
