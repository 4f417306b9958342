"""How a backend runs an op: allocate, call the kernel that was chosen or the reference, and tell a recording of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from xpnn.core.op import Array, Kept, Namespace, Op, Spec
from xpnn.core.recording import Recording, active, refuse
from xpnn.errors import ShapeError

if TYPE_CHECKING:
    from xpnn.core.contract import Attrs, Route


class Running:
    """The half of `xpnn.core.contract.Backend` that runs ops."""

    if TYPE_CHECKING:
        xp: Namespace
        replays: bool

        @property
        def device(self) -> str: ...

        def threads(self) -> int: ...
        def empty(self, spec: Spec) -> Array: ...
        def new(self, spec: Spec) -> Array: ...
        def set(self, out: Array, value: Any) -> None: ...
        def address(self, array: Array) -> tuple[Any, ...]: ...
        def owns(self, array: Any) -> bool: ...
        def bundled(self, calls: Sequence[Callable[[], Any]]) -> Sequence[Callable[[], Any]]: ...
        def overlap(self, array: Array, others: Sequence[Array | None]) -> bool: ...
        def route(self, op: Op, specs: tuple[Spec, ...], attrs: Attrs) -> Route: ...

    def _recording(self) -> Recording | None:
        """The recording that wants to know what is done here."""
        recording = active()
        if recording is None or self.replays:
            return recording
        refuse(f"{self.device} computes with the array library, which allocates its results")
        return None

    def forward(
        self, op: Op, inputs: Sequence[Array], attrs: Attrs, out: Sequence[Array | None] = (), keep: bool = True
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """Infer, choose, allocate, run. `out` gives, output by output, an array to fill or None; () is no array at all.
        They may be inputs (update in place).

        keep: will backward follow? Where it will not, kernels that can do so go without what they save for it.
        """
        outline, override, work = self.route(op, tuple([Spec(a.shape, a.dtype) for a in inputs]), attrs)
        if out:
            self._check_out(op, out, outline.outs)
        slots = out or (None,) * len(outline.outs)
        if override is None or override.forward is None:
            return self._reference_forward(op, inputs, attrs, slots)
        outs = tuple([self.new(spec) if slot is None else slot for slot, spec in zip(slots, outline.outs, strict=True)])
        saved = tuple([self.new(spec) for spec in outline.saved]) if keep or not override.lean else ()
        given = self._ready(inputs) if override.contiguous else tuple(inputs)
        scratch = self._scratch(work, "forward")
        calls = override.forward(outs, saved, *given, **attrs, **scratch)
        recording = self._recording()
        if recording is not None:
            again = calls or (partial(override.forward, outs, saved, *given, **attrs, **scratch),)
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
        if op.passes:
            columns = zip(op.inputs, wanted, out, kept.specs, strict=True)
            passed = [
                want and slot is None and name in op.passes and spec.shape == douts[0].shape
                for name, want, slot, spec in columns
            ]
            if any(passed):
                rest = tuple([want and not same for want, same in zip(wanted, passed, strict=True)])
                grads = self.backward(op, rest, douts, kept, attrs, out) if any(rest) else [None] * len(rest)
                return [douts[0] if same else grad for same, grad in zip(passed, grads, strict=True)]
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
        calls = override.backward(dins, douts, kept, **attrs, **scratch)
        recording = self._recording()
        if recording is not None:
            again = calls or (partial(override.backward, dins, douts, kept, **attrs, **scratch),)
            reads = (*douts, *kept.inputs, *kept.outs, *kept.saved)
            recording.call((op.name, "backward", *attrs.items()), self, again, reads, dins)
        return dins

    def _reference_forward(
        self, op: Op, inputs: Sequence[Array], attrs: Attrs, out: Sequence[Array | None]
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        def compute() -> list[Array]:
            outs, saved = op.forward(self.xp, *inputs, **attrs)
            return [*outs, *saved]

        results = self._run_reference((op.name, *attrs.items()), compute, inputs, out)
        return tuple(results[: len(out)]), tuple(results[len(out) :])

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
        recording = self._recording()
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
        recording.call(kind, self, () if all(views) else (again,), reads, written)
        return targets

    def _scratch(self, work: dict[str, tuple[Spec, ...]], phase: str) -> dict[str, tuple[Array, ...]]:
        specs, recording = work.get(phase), self._recording()
        if specs is None:
            return {}
        if recording is not None:
            return {"work": recording.scratch(self, specs)}
        return {"work": tuple([self.empty(spec) for spec in specs])}

    def _ready(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """`ready`, with the copies that it makes as calls of a recording."""
        given, recording = self.ready(arrays), self._recording()
        if recording is not None:
            for source, array in zip(arrays, given, strict=True):
                if array is not source:
                    recording.made(array)
                    recording.call("ready", self, (partial(self.set, array, source),), (source,), (array,))
        return given

    @staticmethod
    def _check_out(op: Op, out: Sequence[Array | None], specs: Sequence[Spec]) -> None:
        for slot, spec in zip(out, specs, strict=True):
            # A kernel would write past a slot that is too short, and into a copy of one with gaps.
            if slot is not None and ((slot.shape, slot.dtype) != spec or not slot.flags.c_contiguous):
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
