"""A call of one op as a backend is asked for it, forward or backward, on arrays that are ready."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from xpnn import check
from xpnn.check_cases import kept
from xpnn.core.contract import Backend
from xpnn.core.op import Array, Case, Cost, Kept, Op


def title(op: Op, case: Case) -> str:
    """The op, the shapes of its first two inputs, and what tells the case from others of these shapes."""
    shapes = ", ".join("x".join(map(str, arg.shape)) for arg in case.args[:2] if arg.shape)
    alike = [other for other in op.large if other.args == case.args]
    told = [f"{k}={v}" for k, v in case.attrs.items() if any(other.attrs[k] != v for other in alike)]
    return " ".join([op.name, shapes, *told])


class Call:
    """`forward` and `backward` run once; each waits until the backend is done."""

    def __init__(self, op: Op, case: Case, place: Backend) -> None:
        self.op, self.attrs, self.place = op, case.attrs, place
        host = check.inputs(op, case, np.dtype(np.float32))
        self.specs = check.specs_of(host)
        self.outline = op.infer(*self.specs, **case.attrs)
        self.inputs = [place.from_host(x) for x in host]
        names = [op.input_name(i) for i in range(len(host))]
        if op.backward is None and op.updates[:1] not in ((), ("",)):  # an optimizer's step: in place, as it is used
            named = dict(zip(names, self.inputs, strict=True))
            rest = zip(op.updates, self.outline.outs, strict=True)
            self.outs = [named[name] if name else place.empty(spec) for name, spec in rest]
        else:
            self.outs = [place.empty(spec) for spec in self.outline.outs]
        self.wanted = tuple(i in check.differentiable(op, self.specs) for i in range(len(host)))

    @cached_property
    def memory(self) -> Kept:
        """What forward leaves to backward."""
        outs, saved = self.place.forward(self.op, self.inputs, self.attrs)
        return kept(self.op, self.inputs, outs, saved, self.specs)

    @cached_property
    def gradients(self) -> tuple[list[Array], list[Array | None]]:
        """What comes to backward, and where it puts its results."""
        rng, place = np.random.default_rng(0), self.place
        douts = [place.from_host(rng.standard_normal(s.shape).astype(s.dtype)) for s in self.outline.outs]
        return douts, [place.empty(s) if want else None for s, want in zip(self.specs, self.wanted, strict=True)]

    def forward(self) -> None:
        # A view cannot be told where to be.
        self.place.forward(self.op, self.inputs, self.attrs, out=() if self.op.view else self.outs)
        self.place.synchronize()

    def backward(self) -> None:
        douts, dins = self.gradients
        self.place.backward(self.op, self.wanted, douts, self.memory, self.attrs, dins)
        self.place.synchronize()

    def phase(self, name: str) -> Callable[[], None]:
        """Ready to be timed, the first call too."""
        if name == "forward":
            return self.forward
        self.memory, self.gradients  # noqa: B018 - made now
        return self.backward

    def cost(self, phase: str) -> Cost:
        """The record's for forward. Backward: twice its operations where the op is made of products, one for each
        factor's gradient, else as many; and the bytes of what comes in and goes out."""
        forward = self.op.cost(*self.specs, **self.attrs)
        if phase == "forward":
            return forward
        moved = (*self.memory.inputs, *self.memory.outs, *self.memory.saved, *self.gradients[0], *self.gradients[1])
        nbytes = sum(array.nbytes for array in moved if array is not None)
        return Cost(forward.flops * (2 if self.op.products else 1), nbytes)
