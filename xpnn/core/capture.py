"""The planned step: warm, record, replay.

A captured function runs as it is the first time, is written down the second time, and from then on the calls that it
led to are made again on the same arrays: no autograd, no allocation, no Python of the function's own. It goes by the
program again whenever something that it read has changed: a setting of a module or optimizer, an array that lives
elsewhere, another shape. A step that does something else each time is never replayed. Ops that run by their
references still allocate.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from operator import is_
from typing import Any

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.contract import Backend
from xpnn.core.outside import around, randomness
from xpnn.core.plan import Plan, copied, mapped
from xpnn.core.precision import current_precision
from xpnn.core.recording import Recording, active
from xpnn.core.tape import recording_graph
from xpnn.core.tensor import Tensor
from xpnn.errors import CaptureError

PLANS = 4
"""Kinds of steps (shapes, modes) whose plans are kept; the oldest is forgotten."""
TRIES = 6
"""So many recordings in a row that differ, and a step is left as it is."""


class Captured:
    """A function that is called again and again; see `capture`.

    why_not  why the last call was not a replay; None when it was one
    borrow   inputs always come in the same arrays: they are not copied
    """

    def __init__(self, function: Callable[..., Any], strict: bool = False, borrow: bool = False) -> None:
        self.function, self.strict, self.borrow = function, strict, borrow
        self.why_not: str | None = "it has not been called yet"
        self._pauses = inspect.isgeneratorfunction(function)
        self._plans: dict[Any, list[Plan]] = {}
        self._seen: dict[Any, Recording] = {}
        self._misses = 0
        self._last: Any = None
        self._turn = threading.RLock()

    def __call__(self, *inputs: Any) -> Any:
        """What the function returns, as tensors of their own, outside any graph."""
        if self._pauses:
            raise CaptureError("capture: expected a function that returns; this one yields. Loop over .steps(...)")
        with self._turn:
            plan = self._find(inputs)
            if plan is not None:
                return mapped(copied, plan.run())
        return mapped(copied, next(iter(list(self.steps(*inputs)))))

    def steps(self, *inputs: Any) -> Iterator[Any]:
        """What the function yields: there it pauses, and the host may look at the tensors, which the next call
        overwrites. A function that returns yields once.
        """
        with self._turn:
            plan = self._find(inputs)
            if plan is not None:
                yield from plan.replay()
                return
            if active() is not None:
                self.why_not = "it is part of another captured step"
            elif self._misses < TRIES:
                yield from self._record(inputs)
                return
            results = self.function(*inputs)
            for result in results if self._pauses else (results,):
                yield mapped(Tensor.detach, result)

    def forget(self) -> None:
        """Let go of all plans, and with them of the arrays they use."""
        self._plans.clear()
        self._seen.clear()
        self._last = None

    def _find(self, inputs: tuple[Any, ...]) -> Plan | None:
        """The plan that does what the function would do, ready with these inputs."""
        if active() is not None or self._misses >= TRIES:
            return None
        tensors, key = self._arguments(inputs)
        plan = self._plan(key, tensors)
        if plan is not None:
            self.why_not = None
            for t, slot in zip(tensors, plan.inputs, strict=True):
                if t.data is not slot.data:
                    slot.backend.set(slot.data, t.data)
        return plan

    def _arguments(self, inputs: tuple[Any, ...]) -> tuple[list[Tensor], Any]:
        """The inputs that are arrays as tensors, and what makes a plan of its own necessary."""
        tensors, described = self._described(inputs)
        place = tensors[0].backend if tensors else backends.current()
        return tensors, (place, recording_graph(), current_precision(), described)

    def _described(self, inputs: tuple[Any, ...]) -> tuple[list[Tensor], Any]:
        """The inputs that are arrays as tensors, and what a plan depends on of all of them."""
        if self._last is not None:  # a training gives the very same objects at every step
            given, found, places = self._last
            same = len(given) == len(inputs) and all(map(is_, given, inputs))
            if same and all([t.data is data and t.requires_grad is wants for t, data, wants in places]):
                return found
        first = next((x for x in inputs if isinstance(x, Tensor)), None)
        place = None if first is None else first.backend
        tensors: list[Tensor] = []
        key: list[Any] = []
        for x in inputs:
            if isinstance(x, (Tensor, np.ndarray)):
                if place is None:
                    place = self._home()
                t = x if isinstance(x, Tensor) else Tensor(place.from_host(x), place)
                tensors.append(t)
                key.append((t.shape, t.dtype, t.backend, t.requires_grad, id(t.data) if self.borrow else None))
            elif callable(x):
                key.append(id(x))  # the plan keeps it alive
            else:
                try:
                    hash(x)
                except TypeError:
                    kind = type(x).__name__
                    raise CaptureError(
                        f"capture: expected tensors, arrays, numbers or text as arguments; got a {kind}"
                    ) from None
                key.append(x)
        if self.borrow:
            self._last = inputs, (tensors, tuple(key)), [(t, t.data, t.requires_grad) for t in tensors]
        return tensors, tuple(key)

    def _home(self) -> Backend:
        """Where arrays go: beside the first model or tensor that the function reads, else to the backend in use."""
        places = (getattr(value, "backend", None) for value in around(self.function).seen)
        return next((place for place in places if isinstance(place, Backend)), backends.current())

    def _plan(self, key: Any, tensors: list[Tensor]) -> Plan | None:
        for plan in self._plans.get(key, ()):
            mine = not self.borrow or all([t.data is s.data for t, s in zip(tensors, plan.inputs, strict=True)])
            if mine and plan.recording.holds():
                return plan
        return None

    def _record(self, inputs: tuple[Any, ...]) -> Iterator[Any]:
        """Run the function and write down what it does."""
        tensors, key = self._arguments(inputs)
        before = self._seen.get(key)
        if before is not None and not before.holds():
            before = None
        recording = Recording()
        slots = tensors if self.borrow else [copied(t) for t in tensors]
        recording.made(*[t.data for t in slots])
        for function in (self.function, *[x for x in inputs if callable(x)]):
            recording.watch(around(function))
        plan, arguments = Plan(recording, slots), iter(slots)
        given = [next(arguments) if isinstance(x, (Tensor, np.ndarray)) else x for x in inputs]
        if any([t.requires_grad for t in tensors]):
            recording.refused, given = "an argument wants a gradient; use a Parameter for what has one", list(inputs)
        drawn = randomness()
        run = self.function(*given) if self._pauses else _once(self.function, given)
        while True:
            with recording.segment():
                result = next(run, _END)
            if result is _END:
                break
            plan.results.append(mapped(Tensor.detach, result))
            yield plan.results[-1]
        if randomness() != drawn:
            recording.refused = "random numbers are drawn on the host"
        if not recording.looks_same():
            recording.refused = "it changes what it reads: a counter, a random generator"
        self._judge(key, plan, before)

    def _judge(self, key: Any, plan: Plan, before: Recording | None) -> None:
        """Twice the same, and the step is trusted."""
        recording, first = plan.recording, key not in self._seen
        trusted = recording.refused is None and before is not None and recording.same_as(before)
        recording.close(keep=trusted)
        if trusted:
            self._misses, self.why_not = 0, "it was recorded now"
            del self._seen[key]
            self._plans.setdefault(key, []).append(plan)
            if sum(map(len, self._plans.values())) > PLANS:
                oldest = next(iter(self._plans))
                self._plans[oldest].pop(0)
                if not self._plans[oldest]:
                    del self._plans[oldest]
            return
        self._seen[key] = recording
        if len(self._seen) > PLANS:
            del self._seen[next(iter(self._seen))]
        if first and recording.refused is None:
            self.why_not = "it was the first of its kind"
            return
        self._misses += 1
        self.why_not = recording.refused or "it did not do the same as before: a number or a setting changes each time"
        if self.strict:
            raise CaptureError(f"capture: {self.why_not}")


def capture(function: Callable[..., Any], strict: bool = False) -> Captured:
    """The same function, replayed: warm, record, replay.

    function: takes tensors, arrays, numbers or text; what it returns are tensors, or tuples, lists or dicts of them.
    Arrays are copied to where the plan wants them: to the backend of the first tensor among the arguments, else of the
    first model or tensor that the function reads, else to the one in use.
    Numbers are part of the plan (another number, another plan).

    Its first two calls run as they are; the others make the same kernel calls on the same arrays, as long as what it
    reads stays as it was: modules, optimizers, shapes, places, numbers and objects in variables around it. Otherwise it
    runs as it is again, and `why_not` says why; with `strict` that is a CaptureError, after the step has been done.
    What changes from step to step should be in tensors: the learning rate of an optimizer, random streams and running
    statistics are. Values cannot be read on the host inside. What it does to `.data`, and what functions that it calls
    read from around them, is not seen. Results are copies, outside any graph. Replayed or not, the numbers are the same
    bit for bit.

    >>> import xpnn
    >>> double = xpnn.capture(lambda x: x * 2)
    >>> double(xpnn.tensor([1.0, 2.0])).numpy().tolist()
    [2.0, 4.0]
    """
    return Captured(function, strict)


_END = object()


def _once(function: Callable[..., Any], arguments: list[Any]) -> Iterator[Any]:
    yield function(*arguments)
