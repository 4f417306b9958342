"""Conformance: is an op right, on every backend? The generated tests and `xpnn check` run these functions.

parity    a backend against the float64 reference: values, gradients, dtypes, memory
gradient  the reference gradient against finite differences (backends that share a wrong one would agree happily)
strict    the reference in the strictest array-API namespace there is
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from xpnn.check_cases import (
    ConformanceError,
    Sample,
    differentiable,
    draw,
    generator,
    inputs,
    kept,
    need,
    specs_of,
)
from xpnn.check_parity import Result, closeness, parity, served_by
from xpnn.core.contract import Backend
from xpnn.core.op import REGISTRY, Case, Op
from xpnn.errors import XpnnError

__all__ = [
    "ConformanceError",
    "Result",
    "Row",
    "Sample",
    "differentiable",
    "draw",
    "gradient",
    "inputs",
    "parity",
    "run",
    "specs_of",
    "strict",
    "table",
]

DIFFERENCE_ERRORS = 1000
"""Tolerance of a central difference: so many eps^(2/3), the error that is left at the best step, h = eps^(1/3)."""


class Row(NamedTuple):
    """A line of the report of `run`: the worst over the cases of an op. `message` says what failed first."""

    op: str
    phase: str
    backend: str
    dtype: str
    served: str
    error: float
    tolerance: float
    message: str

    @property
    def ok(self) -> bool:
        return not self.message


def gradient(op: Op, case: Case) -> Result:
    """The reference gradient against a central difference in float64, along one random direction for each input.

    One direction is enough: an error e of the gradient is missed only where <e, v> is 0, and that has probability 0
    for a random v. (Elements one by one would cost two forward passes for each.)
    """
    s = Sample(op, case, np.dtype(np.float64))
    rng = generator(op, case)
    rng.bits(1)  # not the numbers that drew the inputs
    eps = max((float(np.finfo(d.dtype).eps) for d in s.douts if d.dtype.kind == "f"), default=0.0)
    h, tolerance = eps ** (1 / 3), DIFFERENCE_ERRORS * eps ** (2 / 3)
    worst = 0.0
    for i in s.variables:
        v = rng.normal(s.specs[i].shape)

        def along(t: float, i: int = i, v: np.ndarray = v) -> float:
            xs = [x + t * v if j == i else x for j, x in enumerate(s.inputs)]
            outs = op.forward(np, *xs, **s.attrs)[0]
            return sum(float(np.sum(d * y)) for d, y in zip(s.douts, outs, strict=True) if d.dtype.kind == "f")

        by_difference = (along(h) - along(-h)) / (2 * h)
        grad = s.grads[i]
        terms = grad * v
        error = abs(by_difference - float(np.sum(terms))) / max(float(np.sqrt(np.sum(terms**2))), 1e-3)
        need(
            error <= tolerance,
            f"{s.title}: the gradient of {op.input_name(i)} is off by {error:.2g} from a finite difference; expected "
            f"{tolerance:.2g} at most",
        )
        worst = max(worst, error)
    return Result("gradient", "reference", worst, tolerance)


def strict(op: Op, case: Case, xp: Any) -> None:
    """The reference under `array_api_strict` (given as xp), forward and backward, against the same on NumPy."""
    s = Sample(op, case, np.dtype(np.float64))
    given = [xp.asarray(x) for x in s.inputs]
    outs, saved = op.forward(xp, *given, **s.attrs)
    pairs: list[tuple[Any, Any]] = [*zip(outs, s.outs, strict=True), *zip(saved, s.saved, strict=True)]
    if s.variables and op.backward is not None:
        memory = kept(op, given, outs, saved, s.specs)
        grads = op.backward(xp, s.want(*s.variables), [xp.asarray(d) for d in s.douts], memory, **s.attrs)
        pairs += [(grads[i], s.grads[i]) for i in s.variables]
    for got, want in pairs:
        need(isinstance(got, type(xp.asarray(0))), f"{s.title}: expected strict arrays; got {type(got).__name__}")
        need(np.allclose(np.asarray(got), want, rtol=1e-12, atol=1e-12), f"{s.title}: another value than on NumPy")


def table(backends: Sequence[Backend]) -> list[tuple[str, str, dict[str, str]]]:
    """(op, phase, {backend: "override" | "reference" | "partly"}) for all: "partly" where a guard declines cases."""
    rows = []
    for op in sorted(REGISTRY.values(), key=lambda op: (op.stem, op.name)):
        specs = [specs_of(inputs(op, case, np.dtype(np.float32))) for case in op.cases]
        for phase in ("forward", "backward")[: 1 if op.backward is None else 2]:
            found = {
                place.name: {
                    served_by(place, op, phase, spec, case.attrs) for spec, case in zip(specs, op.cases, strict=True)
                }
                for place in backends
            }
            rows.append((op.name, phase, {k: v.pop() if len(v) == 1 else "partly" for k, v in found.items()}))
    return rows


def run(
    backends: Sequence[Backend], ops: Sequence[str] = (), dtypes: Sequence[str] = ("float32", "float64")
) -> Iterator[Row]:
    """Every check that needs no test library, op by op: what `xpnn check` prints. ops: names; none means all."""
    for op in [REGISTRY[name] for name in ops or sorted(REGISTRY)]:
        if op.backward is not None:
            yield from _rows(op, "numpy", "float64", ("gradient",), lambda case, op=op: [gradient(op, case)])
        phases = ("forward", "backward") if op.backward is not None else ("forward",)
        for backend, dtype in product(backends, dtypes):
            yield from _rows(
                op, backend.device, dtype, phases, lambda case, *a, op=op, b=backend, d=dtype: parity(op, case, b, d)
            )


def _rows(op: Op, backend: str, dtype: str, phases: Sequence[str], check: Any) -> Iterator[Row]:
    results: list[Result] = []
    message = ""
    try:
        for case in op.cases:
            results += check(case)
    except Exception as error:  # whatever a kernel, a compiler or a driver raises is this row's answer
        kind = "" if isinstance(error, XpnnError) else f"{op.name} {dtype} on {backend}: {type(error).__name__}: "
        message = kind + next(iter(str(error).splitlines()), "no message")
    for phase in phases:
        mine = [r for r in results if r.phase == phase]
        worst = max(mine, key=lambda r: closeness((r.error, r.tolerance)), default=Result(phase, "", 0.0, 0.0))
        served = worst.served if len({r.served for r in mine}) < 2 else "partly"
        yield Row(op.name, phase, backend, dtype, served, worst.error, worst.tolerance, message)
