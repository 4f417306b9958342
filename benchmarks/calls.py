"""A call of one op as a backend is asked for it, forward or backward, on arrays that are ready."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import numpy as np

from xpnn import check
from xpnn.check_cases import kept
from xpnn.core.contract import Backend
from xpnn.core.op import Case, Cost, Op

PRODUCTS = 16
"""Operations for each element that comes out, from which on an op is taken to be made of products."""


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
        if op.backward is None and any(op.updates):  # an optimizer's step: in place, as it is used
            named = dict(zip(names, self.inputs, strict=True))
            rest = zip(op.updates, self.outline.outs, strict=True)
            self.outs = [named[name] if name else place.empty(spec) for name, spec in rest]
        else:
            self.outs = [place.empty(spec) for spec in self.outline.outs]
        self.wanted = tuple(i in check.differentiable(op, self.specs) for i in range(len(host)))
        if any(self.wanted):
            outs, saved = place.forward(op, self.inputs, self.attrs)
            self.memory = kept(op, self.inputs, outs, saved, self.specs)
            rng = np.random.default_rng(0)
            douts = [rng.standard_normal(s.shape).astype(s.dtype) for s in self.outline.outs]
            self.douts = [place.from_host(d) for d in douts]
            self.dins = [place.empty(s) if want else None for s, want in zip(self.specs, self.wanted, strict=True)]

    def forward(self) -> None:
        # A view cannot be told where to be.
        self.place.forward(self.op, self.inputs, self.attrs, out=None if self.op.view else self.outs)
        self.place.synchronize()

    def backward(self) -> None:
        self.place.backward(self.op, self.wanted, self.douts, self.memory, self.attrs, self.dins)
        self.place.synchronize()

    def phase(self, name: str) -> Callable[[], None]:
        return self.forward if name == "forward" else self.backward

    def cost(self, phase: str) -> Cost:
        """The record's for forward. Backward: twice its operations where the op is made of products, one for each
        factor's gradient, else as many; and the bytes of what comes in and goes out."""
        forward = self.op.cost(*self.specs, **self.attrs)
        if phase == "forward":
            return forward
        products = forward.flops > PRODUCTS * sum(prod(spec.shape) for spec in self.outline.outs)
        moved = (*self.memory.inputs, *self.memory.outs, *self.memory.saved, *self.douts, *self.dins)
        nbytes = sum(array.nbytes for array in moved if array is not None)
        return Cost(forward.flops * (2 if products else 1), nbytes)
