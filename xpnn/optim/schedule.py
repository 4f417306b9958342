"""Learning-rate schedules: factors on the learning rate an optimizer was made with.

    optimizer.lr = base * schedule.factor(step, steps_per_epoch)      # before optimizer step `step` = 0, 1, ...

The base stays with whoever applies the schedule (a Trainer does). A factor depends on the step alone, so a resumed run
needs no more than its step number. Only `Plateau` remembers: it is told a value by `observe` at the end of each epoch,
and `state` and `load_state` carry what it remembers, plain numbers, through a checkpoint. All have these methods.

Lengths are counted in epochs or in optimizer steps (`unit`), and may be fractions. Floors are factors as well:
floor=0.01 ends at a hundredth of the base.

>>> schedule = WarmUp(2, then=Step(every=1, factor=0.5))
>>> [schedule.factor(step, steps_per_epoch=3) for step in range(9)]
[0.5, 1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.25]
"""

from __future__ import annotations

import inspect
import math
from typing import Any

from xpnn.errors import ConfigError, unknown
from xpnn.optim.optimizer import need


class Schedule:
    """The base of all: write `factor`, and the other three where it remembers."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        """What the base learning rate is multiplied by for optimizer step `step`, counted from 0."""
        raise NotImplementedError(f"{type(self).__name__}.factor is not written")

    def observe(self, value: float) -> None:
        """Take note of how training goes, at the end of an epoch."""

    def state(self) -> dict[str, float]:
        """What it remembers, as plain numbers."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave; ConfigError when it is another schedule's."""
        name, mine = type(self).__name__, self.state()
        need(set(state) == set(mine), name, f"a state with {sorted(mine)}", sorted(state))
        for key, value in state.items():
            need(isinstance(value, (int, float)) and math.isfinite(value), name, f"a finite number as {key}", value)


class Constant(Schedule):
    """Always 1."""

    def factor(self, step: int, steps_per_epoch: int) -> float:
        return 1.0


class Step(Schedule):
    """factor^n, where n is the number of whole periods of `every` epochs that are over (or steps, by `unit`)."""

    def __init__(self, every: float, factor: float = 0.1, unit: str = "epoch") -> None:
        _need_length("Step", "every", every, unit)
        need(0 < factor <= 1, "Step", "factor above 0, up to 1", factor)
        self.every, self.ratio, self.unit = every, float(factor), unit

    def factor(self, step: int, steps_per_epoch: int) -> float:
        return self.ratio ** (step // _steps(self.every, self.unit, steps_per_epoch))


class Cosine(Schedule):
    """floor + (1 - floor) (1 + cos(pi t / total)) / 2, and floor after `total`.

    t is the time since the start, in fractions of an epoch too. Loshchilov and Hutter, SGDR, ICLR 2017, eq. 5, without
    restarts.
    """

    def __init__(self, total: float, floor: float = 0.0, unit: str = "epoch") -> None:
        _need_length("Cosine", "total", total, unit)
        need(0 <= floor <= 1, "Cosine", "floor from 0 to 1", floor)
        self.total, self.floor, self.unit = total, float(floor), unit

    def factor(self, step: int, steps_per_epoch: int) -> float:
        done = min(step / _steps(self.total, self.unit, steps_per_epoch), 1.0)
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * done)) / 2


class WarmUp(Schedule):
    """(step + 1) / steps for the first `steps` steps (or epochs, by `unit`); after them `then`, as if it began there.

    then: another schedule, None for 1. Goyal et al., Accurate, Large Minibatch SGD (2017), section 2.2.
    """

    def __init__(self, steps: float, then: Schedule | None = None, unit: str = "step") -> None:
        _need_length("WarmUp", "steps", steps, unit)
        expected = "a schedule to follow, or None"
        need(then is None or isinstance(then, Schedule), "WarmUp", expected, type(then).__name__)
        self.steps, self.unit = steps, unit
        self.then = Constant() if then is None else then

    def factor(self, step: int, steps_per_epoch: int) -> float:
        length = math.ceil(_steps(self.steps, self.unit, steps_per_epoch))
        return (step + 1) / length if step < length else self.then.factor(step - length, steps_per_epoch)

    def observe(self, value: float) -> None:
        self.then.observe(value)

    def state(self) -> dict[str, float]:
        return self.then.state()

    def load_state(self, state: dict[str, Any]) -> None:
        self.then.load_state(state)


class Plateau(Schedule):
    """1 at first; times `factor`, but never below `floor`, whenever `patience` observations in a row were no better.

    A value is better when it passes the best one by more than threshold |best|: downwards for mode "min", upwards for
    "max". NaN and infinity are never better. After a drop the count begins anew; the best value stays.
    """

    def __init__(
        self,
        patience: int = 5,
        factor: float = 0.5,
        threshold: float = 1e-4,
        floor: float = 0.0,
        mode: str = "min",
    ) -> None:
        need(isinstance(patience, int) and patience >= 1, "Plateau", "a whole number patience >= 1", patience)
        need(0 < factor < 1, "Plateau", "factor between 0 and 1", factor)
        need(threshold >= 0 and math.isfinite(threshold), "Plateau", "threshold >= 0", threshold)
        need(0 <= floor <= 1, "Plateau", "floor from 0 to 1", floor)
        need(mode in ("min", "max"), "Plateau", "mode 'min' or 'max'", repr(mode))
        self.patience, self.ratio, self.threshold = patience, float(factor), float(threshold)
        self.floor, self.mode = float(floor), mode
        self._best: float | None = None
        self._waited, self._factor = 0, 1.0

    def factor(self, step: int, steps_per_epoch: int) -> float:
        return self._factor

    def observe(self, value: float) -> None:
        value = float(value)
        if math.isfinite(value) and (self._best is None or self._better(value, self._best)):
            self._best, self._waited = value, 0
            return
        self._waited += 1
        if self._waited >= self.patience:
            self._waited = 0
            self._factor = max(self._factor * self.ratio, self.floor)

    def _better(self, value: float, best: float) -> bool:
        margin = self.threshold * abs(best)
        return value < best - margin if self.mode == "min" else value > best + margin

    def state(self) -> dict[str, float]:
        """What it remembers; where "seen" is 0, "best" means nothing."""
        seen = self._best is not None
        return {"best": self._best or 0.0, "seen": int(seen), "waited": self._waited, "factor": self._factor}

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        need(0 <= state["factor"] <= 1 and state["waited"] >= 0, "Plateau", "a state of its own", state)
        self._best = float(state["best"]) if state["seen"] else None
        self._waited, self._factor = int(state["waited"]), float(state["factor"])


def _need_length(owner: str, name: str, length: float, unit: str) -> None:
    need(length > 0 and math.isfinite(length), owner, f"{name} > 0", length)
    need(unit in ("epoch", "step"), owner, "unit 'epoch' or 'step'", repr(unit))


def _steps(length: float, unit: str, steps_per_epoch: int) -> float:
    """A length in optimizer steps; exact for whole numbers."""
    return length * steps_per_epoch if unit == "epoch" else length


SCHEDULES: dict[str, type[Schedule]] = {
    "constant": Constant,
    "step": Step,
    "cosine": Cosine,
    "warm_up": WarmUp,
    "plateau": Plateau,
}
"""Every schedule by the name that `get` takes."""


def get(schedule: str | Schedule | None, **settings: Any) -> Schedule:
    """One of SCHEDULES with these settings; a schedule is given back as it is, None means `Constant`.

    Raises ConfigError for an unknown name, and for settings that are unknown, missing or out of range.

    >>> get("cosine", total=10).factor(5, steps_per_epoch=1)
    0.5
    """
    if isinstance(schedule, Schedule):
        return schedule
    name = "constant" if schedule is None else schedule
    if not isinstance(name, str) or name not in SCHEDULES:
        raise unknown("schedule", name, SCHEDULES)
    kind = SCHEDULES[name]
    try:
        inspect.signature(kind).bind(**settings)
    except TypeError as error:
        raise ConfigError(f"schedule {name!r}: {error}") from None
    return kind(**settings)
