"""The op record: everything the library knows of one operation, in one place.

A record holds a shape rule, a reference forward and backward, a cost and sample cases. The shape rule serves
error messages, allocation, planning, benchmarks and the generated tests; the references are the oracle.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from xpnn.core.precision import unaware
from xpnn.errors import ConfigError

Array = Any
"""An array of whichever namespace is at work: `numpy.ndarray`, `cupy.ndarray`, ..."""

Namespace = Any
"""An array-API namespace, called `xp` throughout."""


class Spec(NamedTuple):
    """What is known of an array before it exists."""

    shape: tuple[int, ...]
    dtype: np.dtype

    @property
    def size(self) -> int:
        n = 1
        for length in self.shape:
            n *= length
        return n

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __str__(self) -> str:
        return f"{self.shape} {self.dtype}"


class Outline(NamedTuple):
    """What a shape rule answers: the outputs, and what forward saves for backward beside inputs and outputs."""

    outs: tuple[Spec, ...]
    saved: tuple[Spec, ...] = ()


class Kept(NamedTuple):
    """What backward may read. An input or output that the record's `keeps` does not name is None here."""

    inputs: tuple[Array, ...]
    outs: tuple[Array, ...]
    saved: tuple[Array, ...]
    specs: tuple[Spec, ...]
    """The input specs, always there, for the shapes of inputs that were not kept."""


class Cost(NamedTuple):
    """The work of one call: floating-point operations, and bytes that must move at the least."""

    flops: float
    nbytes: float


@dataclass(frozen=True)
class Arg:
    """How to draw one input of a sample case; `xpnn.check.draw` knows the kinds."""

    shape: tuple[int, ...]
    kind: str = "normal"
    high: int = 2
    """Labels are drawn from 0..high-1."""


@dataclass(frozen=True)
class Case:
    """One call of an op. The generated tests run every sample on every backend and dtype, benchmarks the large ones."""

    args: tuple[Arg, ...]
    attrs: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        shapes = ",".join("x".join(map(str, arg.shape)) or "scalar" for arg in self.args)
        attrs = ",".join(f"{key}={value}" for key, value in self.attrs.items())
        return f"{shapes}|{attrs}" if attrs else shapes


@dataclass(frozen=True, eq=False)
class Op:
    """One operation.

    infer(*specs, **attrs) -> Outline             raises ShapeError or DTypeError in one line
    forward(xp, *inputs, **attrs) -> (outs, saved)    two tuples; pure: inputs are not written
    backward(xp, wanted, douts, kept, **attrs)    a gradient per input, None where `wanted` says False
    cost(*specs, **attrs) -> Cost                 of forward

    A last input name that begins with `*` stands for any number of inputs, one that ends with `?` may be left out.
    """

    name: str
    inputs: tuple[str, ...]
    infer: Callable[..., Outline]
    forward: Callable[..., tuple[tuple[Array, ...], tuple[Array, ...]]]
    cost: Callable[..., Cost]
    cases: tuple[Case, ...]
    large: tuple[Case, ...]
    """Calls of the sizes at which the op costs time: what the benchmark suite measures."""
    backward: Callable[..., Sequence[Array | None]] | None = None
    """None: the op has no gradient (comparisons, updates)."""
    keeps: tuple[str, ...] = ()
    """The inputs, by name, and "out" that backward reads: only these stay alive until then."""
    constants: tuple[str, ...] = ()
    """Inputs that have no gradient although they are floating-point (targets)."""
    passes: tuple[str, ...] = ()
    """Inputs whose gradient is that of the output, where it has their shape: it is passed on, and nothing is copied."""
    view: bool = False
    """The output may share memory with the first input."""
    updates: tuple[str, ...] = ()
    """Output by output, the input whose array may be given as `out`, "" where none may: what runs in place."""
    products: bool = False
    """Do kernels make products here, which `xpnn.precision` concerns? Then its attributes have `precision`, which the
    functions of the record do not see: they are the same under every one."""

    @property
    def stem(self) -> str:
        """The family file this op lives in; backends keep their overrides of it under the same name."""
        return self.forward.__module__.rpartition(".")[2]

    def input_name(self, position: int) -> str:
        """The name of an input, for messages: `x`, or `xs[2]` for the third of many."""
        if self.inputs[-1].startswith("*") and position >= len(self.inputs) - 1:
            return f"{self.inputs[-1][1:]}[{position - len(self.inputs) + 1}]"
        return self.inputs[position].rstrip("?")

    def keeps_input(self, position: int) -> bool:
        """Does backward read this input?"""
        last = len(self.inputs) - 1
        return self.input_name(position) in self.keeps or (position >= last and self.inputs[-1] in self.keeps)

    @cache  # noqa: B019 - records live as long as the process
    def kept_inputs(self, count: int) -> tuple[bool, ...]:
        """`keeps_input` of the first `count` inputs."""
        return tuple(self.keeps_input(position) for position in range(count))

    def __repr__(self) -> str:
        return f"Op({self.name})"


REGISTRY: dict[str, Op] = {}
"""Every op by name. `xpnn.ops` fills it; registration alone puts an op through the generated tests."""


def register(op: Op) -> Op:
    """Enter a record in the registry and give it back."""
    if op.name in REGISTRY:
        raise ConfigError(f"op {op.name}: a record of this name exists already; choose another name")
    if op.products:
        backward = None if op.backward is None else unaware(op.backward)
        forward, infer, cost = unaware(op.forward), unaware(op.infer), unaware(op.cost)
        op = replace(op, infer=infer, forward=forward, backward=backward, cost=cost)
    REGISTRY[op.name] = op
    return op
