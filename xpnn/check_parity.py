"""Parity: a backend against the float64 reference, in every memory layout and with every way to ask for gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from xpnn.check_cases import Sample, kept, need, wide
from xpnn.core.contract import Backend
from xpnn.core.op import Array, Case, Op, Spec

LAYOUTS = ("contiguous", "strided", "transposed")


class Result(NamedTuple):
    """How one phase of one sample call went: the worst error, and what is allowed, relative to the largest value."""

    phase: str
    served: str
    error: float
    tolerance: float


def served_by(backend: Backend, op: Op, phase: str, specs: Sequence[Spec], attrs: dict[str, Any]) -> str:
    """ "override" or "reference", as the lookup would choose."""
    bound = backend.route(op, tuple(specs), attrs).override
    return "override" if bound is not None and bound.phase(phase) is not None else "reference"


def parity(op: Op, case: Case, backend: Backend, dtype: str) -> list[Result]:
    """A backend against the float64 reference on one case, forward and backward: a Result for each phase.

    Every memory layout, with and without arrays to fill, for all gradients at once and for each alone. Raises
    ConformanceError in one line when values, shapes or dtypes differ, an input is written, an output is not, or a NaN
    is lost.
    """
    run = _Parity(Sample(op, case, np.dtype(dtype)), backend)
    with poisoned(backend) as run.empty:
        for layout, given in product(LAYOUTS, (False, True)):
            run.once(layout, given)
        run.in_place()
        run.nan()
    return [
        Result(phase, served_by(backend, op, phase, run.sample.specs, case.attrs), *max(pairs, key=closeness))
        for phase, pairs in run.pairs.items()
        if pairs
    ]


def closeness(pair: tuple[float, float]) -> float:
    return pair[0] / pair[1] if pair[1] else 0.0


class _Parity:
    def __init__(self, sample: Sample, backend: Backend) -> None:
        self.sample, self.backend = sample, backend
        self.pairs: dict[str, list[tuple[float, float]]] = {"forward": [], "backward": []}
        self.empty: Any = None

    def check(self, phase: str, how: str, names: Sequence[str], *columns: Sequence[Any]) -> None:
        for name, got, want, spec in zip(names, *columns, strict=True):
            label = f"{self.sample.title} on {self.backend.device}, {how}: {name}"
            need(self.backend.owns(got), f"{label}: expected an array of the backend; got {type(got).__name__}")
            self.pairs[phase].append(self.sample.compare(label, self.backend.to_host(got), want, spec))

    def unwritten(self, how: str, arrays: Sequence[Array], before: Sequence[np.ndarray]) -> None:
        for i, (array, old) in enumerate(zip(arrays, before, strict=True)):
            same = self.backend.to_host(array).tobytes() == old.tobytes()
            need(same, f"{self.sample.title} on {self.backend.device}, {how}: array {i} that came in was written to")

    def once(self, layout: str, given: bool) -> None:
        """Forward and every choice of gradients, in one layout; `given`: into arrays of ours."""
        s, op, backend = self.sample, self.sample.op, self.backend
        how = f"{layout} inputs{', out= given' if given else ''}"
        xs = [place(backend, x, layout) for x in s.inputs]
        slots = [self.empty(spec) for spec in s.outline.outs] if given else ()
        outs, saved = backend.forward(op, xs, s.attrs, out=slots)
        self.check("forward", how, [f"out {i}" for i in range(len(outs))], outs, s.outs, s.outline.outs)
        bound = backend.route(op, tuple(s.specs), s.attrs).override
        if bound is None or bound.saved is None:  # what kernels keep for themselves is their own affair
            names = [f"saved {i}" for i in range(len(saved))]
            self.check("forward", how, names, saved, s.saved, s.outline.saved)
        self.unwritten(f"forward, {how}", xs, s.inputs)
        if given:
            need(all(a is b for a, b in zip(outs, slots, strict=True)), f"{s.title}: out= was given but not returned")
        elif backend.on_host and not op.view:
            shared = any(np.shares_memory(y, x) for y in outs for x in xs)
            need(not shared, f"{s.title} on {backend.device}: an output shares memory with an input; say view=True")
        memory = kept(op, xs, outs, saved, s.specs)
        before = [backend.to_host(y).copy() for y in (*outs, *saved)]
        for chosen in dict.fromkeys([tuple(s.variables), *((i,) for i in s.variables)]):
            if not chosen:
                continue
            wanted = s.want(*chosen)
            label = f"{how}, gradient of {', '.join(op.input_name(i) for i in chosen)}"
            douts = [place(backend, d, layout) for d in s.douts]
            dins = [self.empty(spec) if want and given else None for want, spec in zip(wanted, s.specs, strict=True)]
            grads = backend.backward(op, wanted, douts, memory, s.attrs, dins)
            useless = [g is not None and not want for g, want in zip(grads, wanted, strict=True)]
            need(not any(useless), f"{s.title} on {backend.device}, {label}: a gradient came that was not asked for")
            columns = [[column[i] for i in chosen] for column in (grads, s.grads, s.specs)]
            self.check("backward", label, [f"d{op.input_name(i)}" for i in chosen], *columns)
            self.unwritten(f"backward, {label}", (*xs, *douts, *outs, *saved), (*s.inputs, *s.douts, *before))
            filled = all(g is d for g, d in zip(grads, dins, strict=True) if d is not None)
            need(filled, f"{s.title} on {backend.device}, {label}: out= was given but not returned")

    def in_place(self) -> None:
        """The outputs written over the inputs that the record allows it for."""
        s, op = self.sample, self.sample.op
        if not op.updates:
            return
        names = [op.input_name(i) for i in range(len(s.inputs))]
        if any(name and s.specs[names.index(name)] != y for name, y in zip(op.updates, s.outline.outs, strict=True)):
            return  # broadcast: the output does not fit there
        xs = [place(self.backend, x, "contiguous") for x in s.inputs]
        outs = [
            xs[names.index(name)] if name else self.empty(y) for name, y in zip(op.updates, s.outline.outs, strict=True)
        ]
        self.backend.forward(op, xs, s.attrs, out=outs)
        self.check("forward", "in place", [f"out {i}" for i in range(len(outs))], outs, s.outs, s.outline.outs)
        untouched = [i for i, name in enumerate(names) if name not in op.updates]
        self.unwritten("in place", [xs[i] for i in untouched], [s.inputs[i] for i in untouched])

    def nan(self) -> None:
        """A NaN in one element of what comes in must not get lost, forward and backward."""
        with np.errstate(all="ignore"):
            self.nan_forward()
            if self.sample.variables:
                self.nan_backward()

    def lost(self, source: str, name: str, must: np.ndarray, got: Array) -> None:
        n = int((must & ~np.isnan(self.backend.to_host(got))).sum())
        need(
            not n, f"{self.sample.title} on {self.backend.device}: a NaN in {source} is lost in {n} elements of {name}"
        )

    def nan_forward(self) -> None:
        """NaN wherever the reference has it, and wherever other values of that element make another result."""
        s, op, backend = self.sample, self.sample.op, self.backend
        for i, spec in enumerate(s.specs):
            if spec.dtype.kind != "f" or not spec.size:
                continue
            xs = [x.copy() for x in s.inputs]
            outs = {}
            for value in (np.nan, 1e3, -1e3):
                xs[i].reshape(-1)[spec.size // 2] = value
                outs[value] = op.forward(np, *[wide(x) for x in xs], **s.attrs)[0]
            xs[i].reshape(-1)[spec.size // 2] = np.nan
            got = backend.forward(op, [place(backend, x, "contiguous") for x in xs], s.attrs)[0]
            for j, (y, old) in enumerate(zip(got, s.outs, strict=True)):
                if old.dtype.kind == "f":
                    counts = np.any([~(np.asarray(outs[value][j]) == old) for value in (1e3, -1e3)], axis=0)
                    self.lost(op.input_name(i), f"out {j}", np.isnan(outs[np.nan][j]) | counts, y)

    def nan_backward(self) -> None:
        """NaN wherever the reference has it."""
        s, op, backend = self.sample, self.sample.op, self.backend
        wanted = s.want(*s.variables)
        douts = [d.copy() for d in s.douts]
        for d in douts:
            if d.dtype.kind == "f" and d.size:
                d.reshape(-1)[d.size // 2] = np.nan
        xs = [place(backend, x, "contiguous") for x in s.inputs]
        outs, saved = backend.forward(op, xs, s.attrs)
        memory = kept(op, xs, outs, saved, s.specs)
        there = [place(backend, d, "contiguous") for d in douts]
        got = backend.backward(op, wanted, there, memory, s.attrs, [None] * len(xs))
        for i, want in enumerate(s.backward(wanted, douts)):
            if want is not None:
                self.lost("what comes in", f"d{op.input_name(i)}", np.isnan(want), got[i])


def place(backend: Backend, array: np.ndarray, layout: str) -> Array:
    """A copy of a host array on a backend; "strided" has gaps between elements, and NaN or ones in the gaps."""
    if array.ndim == 0 or layout == "contiguous":
        return backend.from_host(array.copy())
    if layout == "transposed":
        return backend.from_host(array.T.copy()).T
    gaps = np.empty((*array.shape[:-1], 2 * array.shape[-1]), array.dtype)
    gaps.view(np.uint8).fill(0xFF)
    gaps[..., ::2] = array
    return backend.from_host(gaps)[..., ::2]


@contextmanager
def poisoned(backend: Backend) -> Iterator[Callable[[Spec], Array]]:
    """Inside the block the backend's `empty` gives arrays full of NaN (integers: all bits set), never zeros."""
    unset = backend.empty

    def empty(spec: Spec) -> Array:
        poison = np.empty(spec.shape, spec.dtype)
        poison.reshape(-1).view(np.uint8).fill(0xFF)
        array = unset(spec)
        backend.copy(backend.from_host(poison), array)
        return array

    backend.empty = empty  # type: ignore[method-assign]
    try:
        yield empty
    finally:
        del backend.empty
