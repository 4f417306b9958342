"""Sample calls for the conformance checks: how every kind of argument is drawn, and what should come out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from math import sqrt
from typing import Any

import numpy as np

from xpnn.core.op import Arg, Array, Case, Kept, Op, Spec
from xpnn.core.precision import ROUNDOFF
from xpnn.core.random import Generator
from xpnn.errors import ConfigError, XpnnError

ROUNDINGS = 8
"""Tolerance of parity: so many roundings for every square root of the length of a sum."""


class ConformanceError(XpnnError, AssertionError):
    """An op that does not do what its record says."""


def need(condition: Any, message: str) -> None:
    """ConformanceError with this line unless the condition holds."""
    if not condition:
        raise ConformanceError(message)


# Drawing ----------------------------------------------------------------------------------------------------


def generator(op: Op, case: Case) -> Generator:
    """Random numbers that depend on the case alone: a failure comes back with the same numbers."""
    return Generator(zlib.crc32(f"{op.name} {case}".encode()))


def _whole(rng: Generator, shape: tuple[int, ...], high: int) -> np.ndarray:
    return (rng.bits(int(np.prod(shape))) % high).reshape(shape)


def _apart(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Every |x| >= 0.1, no two nearer than 0.02 (of many, 5 / n): kinks and ties far from a step of a difference."""
    n = int(np.prod(shape))
    gap = min(0.03, 8 / max(n, 1))
    size = 0.1 + gap * (rng.permutation(n) + rng.uniform((n,), 0.0, 1 / 3))
    return np.where(rng.bits(n) & 1, size, -size).reshape(shape)


def _simplex(rng: Generator, shape: tuple[int, ...]) -> np.ndarray:
    e = np.exp(rng.normal(shape))
    return e / e.sum(axis=-1, keepdims=True)


FLOATING: dict[str, Callable[[Generator, tuple[int, ...]], np.ndarray]] = {
    "normal": lambda rng, shape: rng.normal(shape),
    "weights": lambda rng, shape: rng.normal(shape, std=shape[0] ** -0.5),
    "positive": lambda rng, shape: rng.uniform(shape, 0.5, 2.0),
    "apart": _apart,
    "few": lambda rng, shape: _whole(rng, shape, 3) - 1.0,
    "simplex": _simplex,
}
"""Kinds drawn in the dtype under test."""

FIXED: dict[str, Callable[[Generator, Arg], np.ndarray]] = {
    "labels": lambda rng, arg: _whole(rng, arg.shape, arg.high).astype(np.int64),
    "bool": lambda rng, arg: _whole(rng, arg.shape, 2).astype(bool),
    "pixels": lambda rng, arg: _whole(rng, arg.shape, 256).astype(np.uint8),
    "state": lambda rng, arg: rng.bits(arg.shape[0]),
}
"""Kinds that have a dtype of their own."""


def draw(arg: Arg, rng: Generator, dtype: np.dtype) -> np.ndarray:
    """One input of a sample case, on the host. Raises ConfigError for a kind that has no entry here."""
    if arg.kind in FLOATING:
        return np.asarray(FLOATING[arg.kind](rng, arg.shape), dtype)
    if arg.kind in FIXED:
        return FIXED[arg.kind](rng, arg)
    known = ", ".join([*FLOATING, *FIXED])
    raise ConfigError(f"draw: kind {arg.kind!r} is unknown; expected one of {known}. New kinds go to check_cases.py")


def inputs(op: Op, case: Case, dtype: np.dtype) -> list[np.ndarray]:
    """All inputs of a case. Those drawn "apart" are apart from one another too: maximum(x, y) has kinks at x = y."""
    rng = generator(op, case)
    sizes = [int(np.prod(arg.shape)) if arg.kind == "apart" else 0 for arg in case.args]
    pool = np.split(_apart(rng, (sum(sizes),)), np.cumsum(sizes)[:-1])
    return [
        np.asarray(part.reshape(arg.shape), dtype) if arg.kind == "apart" else draw(arg, rng, dtype)
        for arg, part in zip(case.args, pool, strict=True)
    ]


# What should come ----------------------------------------------------------------------------------------------------


def wide(array: Any) -> np.ndarray:
    """On the host and, if floating-point, in float64."""
    array = np.asarray(array)
    return array.astype(np.float64) if array.dtype.kind == "f" else array


def specs_of(arrays: Sequence[Array]) -> tuple[Spec, ...]:
    return tuple(Spec(tuple(a.shape), np.dtype(a.dtype)) for a in arrays)


def differentiable(op: Op, specs: Sequence[Spec]) -> list[int]:
    """The inputs that have a gradient."""
    if op.backward is None:
        return []
    return [i for i, spec in enumerate(specs) if spec.dtype.kind == "f" and op.input_name(i) not in op.constants]


def kept(op: Op, given: Sequence[Array], outs: Sequence[Array], saved: Sequence[Array], specs: Any) -> Kept:
    """What backward gets: nothing that the record does not name, so that an undeclared read fails."""
    return Kept(
        tuple(x if op.keeps_input(i) else None for i, x in enumerate(given)),
        tuple(y if "out" in op.keeps else None for y in outs),
        tuple(saved),
        tuple(specs),
    )


class Sample:
    """A case with its inputs, the gradients that come in from behind, and the answers of the float64 reference."""

    def __init__(self, op: Op, case: Case, dtype: np.dtype) -> None:
        self.op, self.attrs, self.dtype = op, case.attrs, dtype
        self.title = f"{op.name} [{case}] {dtype.name}"
        self.inputs = inputs(op, case, dtype)
        self.specs = specs_of(self.inputs)
        self.outline = op.infer(*self.specs, **case.attrs)
        self.variables = differentiable(op, self.specs)
        self._wide = [wide(x) for x in self.inputs]
        outs, saved = op.forward(np, *self._wide, **case.attrs)
        self.outs, self.saved = [wide(y) for y in outs], [wide(s) for s in saved]
        rng = generator(op, case)
        self.douts = [
            np.asarray(rng.normal(y.shape) if y.dtype.kind == "f" else np.zeros(y.shape), y.dtype)
            for y in self.outline.outs
        ]
        self.grads = self.backward(self.want(*self.variables), self.douts)

    def backward(self, wanted: tuple[bool, ...], douts: Sequence[np.ndarray]) -> list[Any]:
        """The reference gradients in float64, None where none is wanted."""
        op = self.op
        if op.backward is None or not any(wanted):
            return [None] * len(wanted)
        memory = kept(op, self._wide, self.outs, self.saved, specs_of(self._wide))
        grads = op.backward(np, wanted, [wide(d) for d in douts], memory, **self.attrs)
        for want, name, grad in zip(wanted, map(op.input_name, range(len(wanted))), grads, strict=True):
            need(not want or grad is not None, f"{self.title}: {name} has no gradient; name it in `constants`")
        return [wide(g) if want else None for want, g in zip(wanted, grads, strict=True)]

    def want(self, *positions: int) -> tuple[bool, ...]:
        return tuple(i in positions for i in range(len(self.inputs)))

    def tolerance(self, size: int, dtype: np.dtype) -> float:
        """Roundings grow with the square root of a sum's length, and that is the work over the size of the result."""
        if dtype.kind != "f":
            return 0.0
        work = max(self.op.cost(*self.specs, **self.attrs).flops, *(spec.size for spec in self.outline.outs), 1)
        eps = max(float(np.finfo(d).eps) for d in (dtype, self.dtype))
        # A wrong cost must not make it lax: no sum is longer than all that comes in, and eight operations an element.
        longest = 8 * sum(spec.size for spec in self.specs)
        length = sqrt(min(max(1.0, work / max(size, 1)), max(longest, 1)))
        # Operands are rounded once, each by itself: the error of a sum grows as the sum does, not relative to it. Where
        # steps pass it on, as in recurrent layers, gates and activations damp it: of 60 steps it came to 0.6 of this.
        operands = ROUNDOFF.get(self.attrs.get("precision", ""), 0.0) if self.dtype == np.float32 else 0.0
        return ROUNDINGS * (eps * length + operands)

    def compare(self, name: str, got: np.ndarray, want: np.ndarray, spec: Spec) -> tuple[float, float]:
        """(error, tolerance) of an array; raises where shape, dtype or values are not as they should be."""
        need((got.shape, got.dtype) == spec, f"{name}: expected {spec}; got {got.shape} {got.dtype}")
        tolerance = self.tolerance(spec.size, spec.dtype)
        if not spec.size:
            return 0.0, tolerance
        distance = np.abs(wide(got).astype(np.float64) - want)
        need(not np.isnan(distance).any(), f"{name}: {int(np.isnan(distance).sum())} of {spec.size} elements are NaN")
        error = float(distance.max() / (np.abs(want.astype(np.float64)).max() or 1.0))
        need(error <= tolerance, f"{name}: error {error:.2g} of the largest value; expected {tolerance:.2g} at most")
        return error, tolerance
