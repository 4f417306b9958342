"""A plan: one recorded step, ready to be made again; and results as tensors of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xpnn.core.op import Spec
from xpnn.core.recording import Recording
from xpnn.core.tensor import Tensor
from xpnn.errors import CaptureError


class Plan:
    """One recorded step: its calls, the tensors that it takes, and what it gives at each pause."""

    def __init__(self, recording: Recording, inputs: list[Tensor]) -> None:
        self.recording, self.inputs = recording, inputs
        self.results: list[Any] = []

    def run(self) -> Any:
        """What it gives where it does not pause."""
        for call in self.recording.segments[0]:
            call()
        self.recording.finish()
        return self.results[0]

    def replay(self) -> Iterator[Any]:
        *paused, last = self.recording.segments
        for calls, result in zip(paused, self.results, strict=True):
            for call in calls:
                call()
            yield result
            if not self.recording.guards_hold():
                raise CaptureError(
                    "capture: the number of threads, or a setting of an optimizer, was changed while a recorded step "
                    "paused, and its second half would not know. Change it between steps"
                )
        for call in last:
            call()
        self.recording.finish()


def copied(t: Tensor) -> Tensor:
    """The same values in memory of their own, outside any graph."""
    array = t.backend.new(Spec(t.shape, t.dtype))
    t.backend.copy(t.data, array)
    return Tensor(array, t.backend)


def mapped(change: Callable[[Tensor], Tensor], result: Any) -> Any:
    """The result with every tensor changed; CaptureError for what is no tensor."""
    if isinstance(result, Tensor):
        return change(result)
    if isinstance(result, (tuple, list)):
        return type(result)([mapped(change, part) for part in result])
    if isinstance(result, dict):
        return {name: mapped(change, part) for name, part in result.items()}
    if result is None:
        return None
    raise CaptureError(f"capture: expected tensors as results; got {type(result).__name__}. Read values outside")
