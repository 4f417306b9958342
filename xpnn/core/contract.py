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

from xpnn.core.op import REGISTRY, Array, Kept, Namespace, Op, Outline, Spec
from xpnn.core.recording import active
from xpnn.errors import ShapeError

Attrs = dict[str, Any]


def floating(specs: Sequence[Spec], attrs: Attrs) -> bool:
    """The guard of most kernels: the first input is float32 or float64."""
    return specs[0].dtype.char in "fd"


class Override(NamedTuple):
    """The kernels bound to an op, forward and backward chosen together.

    Arrays to fill arrive unset. In forward they may be inputs too (an update in place), as the record's `updates`
    says. What a kernel needs beside them it declares as `work` and gets as a keyword: kernels allocate nothing.
    """

    forward: Callable[..., None]
    """forward(outs, saved, *inputs, **attrs) fills `outs` and `saved`."""
    backward: Callable[..., None] | None = None
    """backward(dins, douts, kept, **attrs) fills every entry of `dins` that is not None. None: the reference does."""
    guard: Callable[[Sequence[Spec], Attrs], bool] = floating
    """May these kernels serve these inputs? Otherwise the reference does."""
    saved: Callable[..., tuple[Spec, ...]] | None = None
    """saved(*specs, **attrs): what forward keeps for backward, where that is not what the record's reference keeps."""
    work: Callable[..., tuple[Spec, ...]] | None = None
    """work(phase, *specs, **attrs): the scratch arrays that a phase is given as `work=`."""

    def phase(self, name: str) -> Callable[..., None] | None:
        return self.forward if name == "forward" else self.backward


class Route(NamedTuple):
    """The answer of a lookup, remembered by (op, specs, attributes)."""

    outline: Outline
    override: Override | None
    work: dict[str, tuple[Spec, ...]]


class Backend:
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
        recording = active()
        if recording is not None:
            recording.call("copy", self, partial(self.set, out, source), (source,), (out,))

    def fill(self, out: Array, value: float) -> None:
        """out[...] = value, a number."""
        self.set(out, value)
        recording = active()
        if recording is not None:
            recording.call(("fill", value), self, partial(self.set, out, value), (), (out,))

    def new(self, spec: Spec) -> Array:
        """An unset array that a recorded step will write again in every replay."""
        array, recording = self.empty(spec), active()
        if recording is not None:
            recording.made(array)
        return array

    def full(self, spec: Spec, value: float) -> Array:
        """An array of one number."""
        out = self.empty(spec)
        self.set(out, value)
        recording = active()
        if recording is not None:
            recording.made(out, constant=True)
            recording.signature.append(("full", spec, value))
        return out

    def here(self) -> AbstractContextManager[Any]:
        """Array code of one's own on our arrays belongs inside this block: it makes a GPU the current one."""
        return nullcontext()

    def synchronize(self) -> None:
        """Wait until everything asked for is done (nothing to wait for on a host)."""

    def set_num_threads(self, n: int) -> None:
        """Compute on n threads from here on; scratch may be sized by their number, so lookups begin anew."""
        self._routes.clear()

    # Running ops ------------------------------------------------------------------------------------------

    def forward(
        self, op: Op, inputs: Sequence[Array], attrs: Attrs, out: Sequence[Array] | None = None
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Infer, choose, allocate, run. `out` gives the arrays to fill; they may be inputs (update in place)."""
        outline, override, work = self.route(op, tuple([Spec(a.shape, a.dtype) for a in inputs]), attrs)
        if out is not None:
            self._check_out(op, out, outline.outs)
        if override is None:
            return self._reference_forward(op, inputs, attrs, out, len(outline.outs))
        outs = tuple(out) if out is not None else tuple([self.new(spec) for spec in outline.outs])
        saved = tuple([self.new(spec) for spec in outline.saved])
        given = self._ready(inputs)
        scratch = self._scratch(work, "forward")
        override.forward(outs, saved, *given, **attrs, **scratch)
        recording = active()
        if recording is not None:
            again = partial(override.forward, outs, saved, *given, **attrs, **scratch)
            recording.call((op.name, *attrs.items()), self, again, given, (*outs, *saved))
        return outs, saved

    def backward(
        self,
        op: Op,
        wanted: Sequence[bool],
        douts: Sequence[Array],
        kept: Kept,
        attrs: Attrs,
        out: Sequence[Array | None],
    ) -> list[Array | None]:
        """The gradients of the inputs that are wanted; `out` gives, input by input, an array to fill or None."""
        _, override, work = self.route(op, kept.specs, attrs)
        if override is None or override.backward is None:
            return self._reference_backward(op, wanted, douts, kept, attrs, out)
        dins = [
            (slot if slot is not None else self.new(spec)) if want else None
            for want, slot, spec in zip(wanted, out, kept.specs, strict=True)
        ]
        kept = kept._replace(inputs=self._ready(kept.inputs))
        douts = self._ready(douts)
        scratch = self._scratch(work, "backward")
        override.backward(dins, douts, kept, **attrs, **scratch)
        recording = active()
        if recording is not None:
            again = partial(override.backward, dins, douts, kept, **attrs, **scratch)
            reads = (*douts, *kept.inputs, *kept.outs, *kept.saved)
            recording.call((op.name, "backward", *attrs.items()), self, again, reads, dins)
        return dins

    def _reference_forward(
        self, op: Op, inputs: Sequence[Array], attrs: Attrs, out: Sequence[Array] | None, count: int
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        def compute() -> list[Array]:
            outs, saved = op.forward(self.xp, *inputs, **attrs)
            return [*outs, *saved]

        results = self._run_reference((op.name, *attrs.items()), compute, inputs, () if out is None else out)
        return tuple(results[:count]), tuple(results[count:])

    def _reference_backward(
        self,
        op: Op,
        wanted: Sequence[bool],
        douts: Sequence[Array],
        kept: Kept,
        attrs: Attrs,
        out: Sequence[Array | None],
    ) -> list[Array | None]:
        assert op.backward is not None
        compute = partial(op.backward, self.xp, wanted, douts, kept, **attrs)
        reads = (*douts, *kept.inputs, *kept.outs, *kept.saved)
        return self._run_reference((op.name, "backward", wanted, *attrs.items()), compute, reads, out)

    def _run_reference(
        self,
        kind: tuple[Any, ...],
        compute: Callable[[], Sequence[Array | None]],
        reads: Sequence[Array | None],
        given: Sequence[Array | None],
    ) -> list[Array | None]:
        """The arrays that `compute` gives, in the slots that are given, where there are any."""
        results = self._arrays(compute())
        slots = [*given, *[None] * (len(results) - len(given))]
        recording = active()
        if recording is None:
            return [self._fill(slot, r) for slot, r in zip(slots, results, strict=True)]
        # Views of what is read show it in every replay; the rest is computed anew and copied to where it is now.
        views = [s is None and r is not None and self.overlap(r, reads) for s, r in zip(slots, results, strict=True)]
        targets = [
            r if view or r is None else self._fill(self.new(Spec(r.shape, r.dtype)) if s is None else s, r)
            for s, r, view in zip(slots, results, views, strict=True)
        ]

        def again() -> None:
            for target, result, view in zip(targets, self._arrays(compute()), views, strict=True):
                if target is not None and not view:
                    self.set(target, result)

        written = [None if view else t for t, view in zip(targets, views, strict=True)]
        recording.made(*[t for t, s in zip(targets, slots, strict=True) if s is None])
        recording.call(kind, self, None if all(views) else again, reads, written)
        return targets

    def _scratch(self, work: dict[str, tuple[Spec, ...]], phase: str) -> dict[str, tuple[Array, ...]]:
        specs, recording = work.get(phase), active()
        if specs is None:
            return {}
        if recording is not None:
            return {"work": recording.scratch(self, specs)}
        return {"work": tuple([self.empty(spec) for spec in specs])}

    def _ready(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """`ready`, with the copies that it makes as calls of a recording."""
        given, recording = self.ready(arrays), active()
        if recording is not None:
            for source, array in zip(arrays, given, strict=True):
                if array is not source:
                    recording.made(array)
                    recording.call("ready", self, partial(self.set, array, source), (source,), (array,))
        return given

    @staticmethod
    def _check_out(op: Op, out: Sequence[Array], specs: Sequence[Spec]) -> None:
        for slot, spec in zip(out, specs, strict=True):
            # A kernel would write past a slot that is too short, and into a copy of one with gaps.
            if slot.shape != spec.shape or slot.dtype != spec.dtype or not slot.flags.c_contiguous:
                gaps = "" if slot.flags.c_contiguous else ", with gaps"
                raise ShapeError(f"{op.name}: expected out= as {spec}; got {slot.shape} {slot.dtype}{gaps}")

    def ready(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """The arrays as overrides want them (contiguous, say)."""
        return tuple(arrays)

    def _arrays(self, results: Sequence[Array | None]) -> tuple[Array, ...]:
        """NumPy gives a scalar where a result has no axes; kernels and `out=` need an array."""
        return tuple([r if r is None or self.owns(r) else self.xp.asarray(r) for r in results])

    def _fill(self, slot: Array | None, value: Array | None) -> Array | None:
        if slot is None or value is None:
            return value
        if slot.shape != value.shape:
            raise ShapeError(f"out: expected {value.shape}; got {slot.shape}")
        self.set(slot, value)
        return slot

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
        return importlib.import_module(module).OVERRIDES.get(op.name)

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
