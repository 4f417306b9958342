"""A recording: what a step does to arrays, written down while it runs, and what must not change for it to stay true.

Backends, tensors, modules and optimizers report here while a recording is active. What they report is of three kinds:
calls (to be made again), a signature (what was called on what; two steps with one signature do the same), and guards
(looks at settings that the program read: while they give what they gave, the program would do the same again).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import accumulate, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.core.op import Array, Op, Spec
from xpnn.core.outside import Look, same

if TYPE_CHECKING:
    from xpnn.core.gradients import Gradients
    from xpnn.core.running import Running
    from xpnn.core.tensor import Tensor

module_changes = [0]
"""How often an attribute of any module was set: while it stays, modules need not be looked at one by one."""

LINE = 64
"""Bytes of a cache line."""

_active: ContextVar[Recording | None] = ContextVar("xpnn_active_recording", default=None)
active = _active.get
"""The recording that is under way in this context, or None."""


def refuse(reason: str) -> None:
    """Say that what happens now could not be replayed. The step goes on; its recording will not be used."""
    recording = active()
    if recording is not None and recording.refused is None:
        recording.refused = reason


class Recording:
    """segments    lists of calls: a step may pause between them for the host to look
    signature   what was called on what
    refused     why it cannot be replayed, or None
    """

    def __init__(self) -> None:
        self.segments: list[list[Callable[[], Any]]] = []
        self._places: list[list[Running]] = []
        self.signature: list[Any] = []
        self.refused: str | None = None
        self._labels: dict[int, int] = {}
        self._alive: list[Any] = []  # so that an id names one array as long as we record
        self._constants: set[int] = set()
        self._block: Array | None = None
        self._guards: dict[Callable[[], Any], Any] = {}
        self._looks: list[Look] = []
        self._modules: dict[int, tuple[Callable[[], list[Any]], list[Any]]] = {}
        self._changes = -1
        self._leaves: dict[int, tuple[Tensor, Array, bool]] = {}
        self._gradients: dict[int, Gradients] = {}
        self._begun: list[tuple[Gradients, bool]] = []
        self._slots: dict[int, tuple[Gradients, Array]] = {}
        self._marks: list[tuple[Gradients, bool]] = []
        self._versions: list[list[int]] = []

    @contextmanager
    def segment(self) -> Iterator[None]:
        """Record the block as a new segment."""
        self.segments.append([])
        self._places.append([])
        token = _active.set(self)
        try:
            yield
        finally:
            _active.reset(token)

    # What backends report -----------------------------------------------------------------------------------------

    def made(self, *arrays: Array | None, constant: bool = False) -> None:
        """These arrays are the step's own. constant: of one value, which nobody writes."""
        for array in arrays:
            if array is not None:
                self._labels[id(array)] = len(self._alive)
                self._alive.append(array)
                if constant:
                    self._constants.add(id(array))

    def scratch(self, place: Running, specs: Sequence[Spec]) -> tuple[Array, ...]:
        """What a call needs while it runs, in memory that the next call uses again."""
        starts = [0, *accumulate(-(-spec.nbytes // LINE) * LINE for spec in specs)]
        if self._block is None or self._block.size < starts[-1] or not place.owns(self._block):
            self._block = place.empty(Spec((starts[-1],), np.dtype(np.uint8)))
        block = self._block
        return tuple(
            [
                block[start : start + spec.nbytes].view(spec.dtype).reshape(spec.shape)
                for start, spec in zip(starts, specs, strict=False)
            ]
        )

    def call(
        self,
        kind: Any,
        place: Running,
        again: Sequence[Callable[[], Any]],
        reads: Sequence[Array | None],
        writes: Sequence[Array | None],
    ) -> None:
        """A call that was made, on which arrays; kind says in the signature what it was; `again` does it again."""
        labels = tuple([self._label(place, a) for a in reads]), tuple([self._label(place, a) for a in writes])
        self.signature.append((kind, *labels))
        self.guard(place.threads)
        self._alive += [*reads, *writes]
        if any([id(a) in self._constants for a in writes]):
            refuse("an array that was made as a constant is written. Make it outside of the step")
        self.segments[-1] += again
        self._places[-1] += [place] * len(again)

    def _label(self, place: Running, array: Array | None) -> Any:
        if array is None:
            return None
        own = self._labels.get(id(array))
        return place.address(array) if own is None else own

    # What tensors and modules report --------------------------------------------------------------------------------

    def guard(self, look: Callable[[], Any]) -> None:
        """The step depends on what `look` gives, a bound method or a function of a module."""
        if look not in self._guards:
            self._guards[look] = look()

    def watch(self, *looks: Look) -> None:
        """The step depends on what these looks see."""
        self._looks += looks

    def module(self, owner: Any, settings: Callable[[], list[Any]], looks: Callable[[], Sequence[Look]]) -> None:
        """The step depends on the attributes of a module, and on what may change without one of them being set."""
        if id(owner) not in self._modules:
            self._modules[id(owner)] = settings, settings()
            self.watch(*looks())

    def used(self, op: Op, tensors: Sequence[Tensor]) -> None:
        """Inputs of an op: those from outside must stay where they are and want a gradient or not, as they do now."""
        for t in tensors:
            if id(t.data) not in self._labels and id(t) not in self._leaves:
                if t.node is not None:
                    refuse(f"{op.name} continues a graph from outside of the step. Use .detach()")
                self._leaves[id(t)] = (t, t.data, t.requires_grad)

    def gradient_read(self, t: Gradients, is_set: bool) -> None:
        """Whether a leaf has a gradient was asked; it matters unless the step itself decided it."""
        if id(t) not in self._gradients:
            self._gradients[id(t)] = t
            self._begun.append((t, is_set))

    def gradient_placed(self, t: Gradients, slot: Array) -> None:
        """The gradient of a leaf is gathered in this array, now and at the beginning of the step."""
        self._slots.setdefault(id(t), (t, slot))

    def gradient_written(self, t: Gradients) -> None:
        self._gradients[id(t)] = t

    def written(self, version: list[int]) -> None:
        """An array got new values: whoever kept the old ones must see that."""
        self._versions.append(version)

    # Afterwards ---------------------------------------------------------------------------------------------------

    def close(self, keep: bool) -> None:
        """The step is over. keep: the calls are wanted; else only what it takes to compare and to guard."""
        self._marks = [(t, t.grad_state) for t in self._gradients.values()]
        self._labels.clear()
        self._alive.clear()
        self._constants.clear()
        self._block = None
        if keep:
            self.segments = [self._bundled(*both) for both in zip(self.segments, self._places, strict=True)]
        else:
            self.segments.clear()
        self._places.clear()

    @staticmethod
    def _bundled(calls: list[Callable[[], Any]], places: list[Running]) -> list[Callable[[], Any]]:
        """The calls of a segment, those that follow each other in one place as it wants to make them."""
        found: list[Callable[[], Any]] = []
        for place, group in groupby(zip(places, calls, strict=True), key=itemgetter(0)):
            found += place.bundled([call for _, call in group])
        return found

    def holds(self) -> bool:
        """Would the program do the same again?"""
        for t, data, wants in self._leaves.values():
            if t.data is not data or t.requires_grad is not wants:
                return False
        for g, slot in self._slots.values():
            if g._grad is not slot:
                return False
        for g, is_set in self._begun:
            if g._grad_state is not is_set:
                return False
        return self.guards_hold() and self.looks_same()

    def guards_hold(self) -> bool:
        """Do threads and optimizers say what they said?"""
        return all([look() == value for look, value in self._guards.items()])

    def looks_same(self) -> bool:
        """Is everything as it was that functions and modules read?"""
        if not all([look.same() for look in self._looks]):
            return False
        if self._changes != module_changes[0]:
            if not all([same(seen, look()) for look, seen in self._modules.values()]):
                return False
            self._changes = module_changes[0]
        return True

    def same_as(self, other: Recording) -> bool:
        mine = [id(data) for _, data, _ in self._leaves.values()]
        return self.signature == other.signature and mine == [id(data) for _, data, _ in other._leaves.values()]

    def finish(self) -> None:
        """After a replay: gradients are there or not, and versions count, as if the program had run."""
        for t, is_set in self._marks:
            t.grad_state = is_set
        for version in self._versions:
            version[0] += 1
