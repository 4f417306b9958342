"""The contract of a backend: it owns arrays and runs op records on them.

What serves an op is an override when one is bound and its guard accepts the specs, else the reference.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from xpnn.core.op import REGISTRY, Array, Namespace, Op, Outline, Spec
from xpnn.core.precision import unaware
from xpnn.core.running import Running

Attrs = dict[str, Any]
Calls = Sequence[Callable[[], Any]] | None


def floating(specs: Sequence[Spec], attrs: Attrs) -> bool:
    """The guard of most kernels: the first input is float32 or float64."""
    return specs[0].dtype.char in "fd"


class Override(NamedTuple):
    """The kernels bound to an op, forward and backward chosen together.

    Arrays to fill arrive unset. In forward they may be inputs too (an update in place), as the record's `updates`
    says. What a kernel needs beside them it declares as `work` and gets as a keyword: kernels allocate nothing.

    A replay calls forward and backward again with the same arrays. One that does nothing else than to call kernels may
    return those calls, ready to be made: a replay then makes them instead, which spares small work most of its time.
    A number of threads may be among their arguments: a recording holds only while `Backend.threads` gives the same.
    """

    forward: Callable[..., Calls] | None
    """forward(outs, saved, *inputs, **attrs) fills `outs` and `saved`. None: the reference does (it gives a view)."""
    backward: Callable[..., Calls] | None = None
    """backward(dins, douts, kept, **attrs) fills every entry of `dins` that is not None. None: the reference does."""
    guard: Callable[[Sequence[Spec], Attrs], bool] = floating
    """May these kernels serve these inputs? Otherwise the reference does."""
    saved: Callable[..., tuple[Spec, ...]] | None = None
    """saved(*specs, **attrs): what forward keeps for backward, where that is not what the record's reference keeps."""
    work: Callable[..., tuple[Spec, ...]] | None = None
    """work(phase, *specs, **attrs): the scratch arrays that a phase is given as `work=`."""

    lean: bool = False
    """Where no gradient is wanted, may forward be given an empty `saved`?"""
    contiguous: bool = True
    """Does forward want its inputs contiguous? NumPy's own passes take them as they lie."""
    saves_gradient: bool = False
    """Is the first that forward saves the gradient of its first input, for a gradient of 1 of its output (of a loss,
    say)? Where backward begins there, nothing is left to do."""

    precision: bool = False
    """Do these kernels read the attribute of an op that makes products? Otherwise it is not handed to them."""

    def unaware(self) -> Override:
        """The same, with functions that take the attribute `precision` and drop it."""
        functions: list[Callable[..., Any] | None] = [self.forward, self.backward, self.saved, self.work]
        forward, backward, saved, work = [None if f is None else unaware(f) for f in functions]
        return self._replace(forward=forward, backward=backward, saved=saved, work=work)

    def phase(self, name: str) -> Callable[..., Calls] | None:
        return self.forward if name == "forward" else self.backward


def plain(forward: Callable[..., None]) -> Override:
    """An override that fills its outputs by passes of NumPy: any dtype, any layout. Gradients go by the reference."""
    return Override(forward, guard=lambda specs, attrs: True, contiguous=False)


def made(calls: Sequence[Callable[[], Any]]) -> Sequence[Callable[[], Any]]:
    """The calls, after each was made: what an override returns."""
    for call in calls:
        call()
    return calls


class Route(NamedTuple):
    """The answer of a lookup, remembered by (op, specs, attributes)."""

    outline: Outline
    override: Override | None
    work: dict[str, tuple[Spec, ...]]


class Backend(Running):
    """One place where arrays live and ops run. Subclasses say which arrays and which kernels.

    name       "numpy", "numba", "cupy"
    device     what `.to()` takes to come here: "numpy", "cuda:1"
    on_host    are its arrays NumPy arrays?
    """

    name: str
    xp: Namespace
    on_host = True
    replays = False
    """Is a recorded step replayed here? Not where references compute, which allocate their results anyway."""
    bindings: str | None = None
    """The package whose module `<stem>` holds `OVERRIDES = {op name: Override}`."""

    def __init__(self) -> None:
        self._routes: dict[Any, Route] = {}

    @property
    def device(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<backend {self.device}>"

    # Arrays -----------------------------------------------------------------------------------------------

    def empty(self, spec: Spec) -> Array:
        """An unset array."""
        return np.empty(spec.shape, spec.dtype)

    def from_host(self, array: np.ndarray) -> Array:
        """The array here; shares memory where it can."""
        return array

    def to_host(self, array: Array) -> np.ndarray:
        """The array as a NumPy array; shares memory where it can."""
        return array

    def owns(self, array: Any) -> bool:
        """Is this one of our arrays?"""
        return isinstance(array, np.ndarray)

    def set(self, out: Array, value: Any) -> None:
        """out[...] = value: a number, or an array here of the same shape."""
        out[...] = value

    def address(self, array: Array) -> tuple[Any, ...]:
        """What tells this array from others that live at the same time; views of one place are the same."""
        return array.__array_interface__["data"][0], array.shape, array.strides

    def overlap(self, array: Array, others: Sequence[Array | None]) -> bool:
        """May the array share memory with one of the others?"""
        return any([other is not None and np.may_share_memory(array, other) for other in others])

    def copy(self, source: Array, out: Array) -> None:
        """out[...] = source, both here and of one shape."""
        self.set(out, source)
        recording = self._recording()
        if recording is not None:
            recording.call("copy", self, (partial(self.set, out, source),), (source,), (out,))

    def fill(self, out: Array, value: float) -> None:
        """out[...] = value, a number."""
        self.set(out, value)
        recording = self._recording()
        if recording is not None:
            recording.call(("fill", value), self, (partial(self.set, out, value),), (), (out,))

    def new(self, spec: Spec) -> Array:
        """An unset array that a recorded step will write again in every replay."""
        array, recording = self.empty(spec), self._recording()
        if recording is not None:
            recording.made(array)
        return array

    def full(self, spec: Spec, value: float) -> Array:
        """An array of one number."""
        out = self.empty(spec)
        self.set(out, value)
        recording = self._recording()
        if recording is not None:
            recording.made(out, constant=True)
            recording.signature.append(("full", spec, value))
        return out

    def bundled(self, calls: Sequence[Callable[[], Any]]) -> Sequence[Callable[[], Any]]:
        """The calls of a recorded step that follow each other here: as they will be made again and again."""
        return calls

    def here(self) -> AbstractContextManager[Any]:
        """Array code of one's own on our arrays belongs inside this block: it makes a GPU the current one."""
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until everything asked for is done (nothing to wait for on a host)."""

    def threads(self) -> int:
        """The number of threads that kernels use, and their pool is told."""
        return 1

    def set_num_threads(self, n: int) -> None:
        """Compute on n threads from here on; scratch may be sized by their number, so lookups begin anew."""
        self._routes.clear()

    # Lookup -----------------------------------------------------------------------------------------------

    def route(self, op: Op, specs: tuple[Spec, ...], attrs: Attrs) -> Route:
        """Infer and choose, once for each kind of input."""
        key = (op, specs, *attrs.items())
        route = self._routes.get(key)
        if route is None:
            outline, override, work = op.infer(*specs, **attrs), self.override(op), {}
            if override is not None and not override.guard(specs, attrs):
                override = None
            if override is not None and override.saved is not None:
                outline = outline._replace(saved=override.saved(*specs, **attrs))
            if override is not None and override.work is not None:
                work = {phase: override.work(phase, *specs, **attrs) for phase in ("forward", "backward")}
            if len(self._routes) >= 4096:  # x[i] in a long loop has an entry for every i
                self._routes.clear()
            route = self._routes[key] = Route(outline, override, work)
        return route

    def override(self, op: Op) -> Override | None:
        """What is bound to an op, whatever the specs."""
        if self.bindings is None:
            return None
        module = f"{self.bindings}.{op.stem}"
        if importlib.util.find_spec(module) is None:
            return None
        found: Override | None = importlib.import_module(module).OVERRIDES.get(op.name)
        return found.unaware() if found is not None and op.products and not found.precision else found

    def explain(self, op: Op | str, *specs: Spec, **attrs: Any) -> str:
        """One line a phase: what serves this op here, and why.

        >>> import numpy as np
        >>> from xpnn.core import backend, op
        >>> print(backend.get("numpy").explain("exp", op.Spec((2,), np.dtype("float32"))))
        exp forward on numpy: reference (no override is bound)
        exp backward on numpy: reference (no override is bound)
        """
        record = REGISTRY[op] if isinstance(op, str) else op
        lines = []
        for phase in ("forward", "backward"):
            if phase == "backward" and record.backward is None:
                continue
            bound = self.override(record)
            kernel = bound and bound.phase(phase)
            if bound is None or kernel is None:
                answer = "reference (no override is bound)"
            elif specs and not bound.guard(specs, attrs):
                answer = f"reference (the guard of {kernel.__module__} declines these inputs)"
            else:
                answer = f"override {kernel.__module__}.{kernel.__name__}"
            lines.append(f"{record.name} {phase} on {self.device}: {answer}")
        return "\n".join(lines)
