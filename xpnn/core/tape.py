"""The tape: `apply` runs an op and remembers it, `backward` goes back over what was remembered."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from xpnn.core.arithmetic import OPS as ARITHMETIC
from xpnn.core.contract import Backend
from xpnn.core.op import Array, Kept, Op, Spec
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import AutogradError, BackendError, ShapeError

_sequence = itertools.count()
_recording: ContextVar[bool] = ContextVar("xpnn_recording", default=True)


class Node:
    """One op that ran: its inputs, and what its backward will read."""

    __slots__ = ("attrs", "backend", "inputs", "kept", "op", "out_specs", "sequence", "versions")

    def __init__(self, op: Op, backend: Backend, attrs: dict[str, Any], inputs: Sequence[Tensor]) -> None:
        self.sequence = next(_sequence)
        self.op, self.backend, self.attrs, self.inputs = op, backend, attrs, inputs
        self.versions = [t.version[0] for t in inputs]
        self.kept: Kept | None = None
        self.out_specs: tuple[Spec, ...] = ()


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside the block ops leave no tape: evaluation, and updates of one's own."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def apply(op: Op, *inputs: Any, **attrs: Any) -> Any:
    """Run an op on tensors (at least one; the rest may be numbers or arrays): a Tensor, or a tuple where it has several
    outputs. Raises BackendError when the tensors live on two backends."""
    anchor = next((x for x in inputs if isinstance(x, Tensor)), None)
    if anchor is None:
        anchor = inputs_anchor = tensor(inputs[0])
        inputs = (inputs_anchor, *inputs[1:])
    tensors = [x if isinstance(x, Tensor) else as_tensor(x, anchor) for x in inputs]
    place = anchor.backend
    for i, t in enumerate(tensors):
        if t.backend is not place:
            raise BackendError(_mixed(op, tensors, i))
    outs, saved = place.forward(op, [t.data for t in tensors], attrs)
    results = tuple([Tensor(out, place) for out in outs])
    if op.view:
        results[0].version = tensors[0].version
    if _recording.get() and op.backward is not None and any([t.requires_grad for t in tensors]):
        _record(op, place, attrs, tensors, results, saved)
    return results[0] if len(results) == 1 else results


def _record(op, place, attrs, tensors, results, saved) -> None:
    for i, t in enumerate(tensors if op.constants else ()):
        if t.requires_grad and op.input_name(i) in op.constants:
            raise AutogradError(f"{op.name}: {op.input_name(i)} has no gradient; use .detach()")
    node = Node(op, place, attrs, tensors)
    node.kept = Kept(
        tuple([t.data if kept else None for t, kept in zip(tensors, op.kept_inputs(len(tensors)), strict=True)]),
        tuple([r.data if "out" in op.keeps else None for r in results]),
        saved,
        tuple([Spec(t.data.shape, t.data.dtype) for t in tensors]),
    )
    node.out_specs = tuple([Spec(r.data.shape, r.data.dtype) for r in results])
    for position, result in enumerate(results):
        if result.data.dtype.kind == "f":
            result.node, result.position, result.requires_grad = node, position, True


def _mixed(op: Op, tensors: Sequence[Tensor], i: int) -> str:
    first, other = tensors[0].backend.device, tensors[i].backend.device
    return (
        f"{op.name}: expected one backend; got {op.input_name(0)} on {first} and {op.input_name(i)} on {other}. "
        f"Move one: {op.input_name(i)}.to('{first}'), or the model: model.to('{other}')"
    )


def backward(root: Tensor, grad: Any = None, retain_graph: bool = False) -> None:
    """See `Tensor.backward`."""
    if not root.requires_grad:
        raise AutogradError("backward: this tensor has no graph; was it computed under no_grad, or from no parameter?")
    if grad is None:
        if root.data.size != 1:
            raise ShapeError(f"backward: expected a scalar, or a gradient to start from; got {root.shape}. Use .mean()")
        seed = root.backend.full(Spec(root.shape, root.dtype), 1)
    else:
        start = as_tensor(grad, root)
        if start.shape != root.shape or start.dtype != root.dtype or start.backend is not root.backend:
            raise ShapeError(
                f"backward: expected a gradient {root.shape} {root.dtype}; got {start.shape} {start.dtype}"
            )
        seed = start.data
    if root.node is None:
        root.add_grad(seed)
        return
    grads: dict[tuple[Node, int], Array] = {(root.node, root.position): seed}
    for node in _reverse_order(root.node):
        douts = [grads.pop((node, i), None) for i in range(len(node.out_specs))]
        if all(d is None for d in douts):
            continue
        _run_backward(node, douts, grads)
        if not retain_graph:
            node.kept = None


def _reverse_order(last: Node) -> list[Node]:
    """Every node behind `last`, youngest first: an order that depends on the program alone."""
    found, todo = {last}, [last]
    while todo:
        for t in todo.pop().inputs:
            if t.node is not None and t.node not in found:
                found.add(t.node)
                todo.append(t.node)
    return sorted(found, key=lambda node: node.sequence, reverse=True)


def _run_backward(node: Node, douts: list[Array | None], grads: dict[tuple[Node, int], Array]) -> None:
    if node.kept is None:
        raise AutogradError(
            f"backward: what {node.op.name} had kept was freed by an earlier backward. "
            "Run the forward pass again, or call the first backward with retain_graph=True"
        )
    for i, (t, version) in enumerate(zip(node.inputs, node.versions, strict=True)):
        if t.version[0] != version and node.kept.inputs[i] is not None:
            raise AutogradError(
                f"backward: {node.op.input_name(i)} of {node.op.name} was changed since the forward pass (by an "
                "optimizer step?). Run the forward pass again"
            )
    filled = [d if d is not None else node.backend.full(spec, 0) for d, spec in zip(douts, node.out_specs, strict=True)]
    # A leaf whose slot is free is written in place, unless it enters this op twice.
    direct = [
        t.node is None and t.requires_grad and t.grad_is_free and sum(u is t for u in node.inputs) == 1
        for t in node.inputs
    ]
    wanted = tuple([t.requires_grad for t in node.inputs])
    slots = [t.grad_slot() if d else None for t, d in zip(node.inputs, direct, strict=True)]
    results = node.backend.backward(node.op, wanted, filled, node.kept, node.attrs, slots)
    for t, want, result in zip(node.inputs, wanted, results, strict=True):
        if not want:
            continue
        if t.node is None:
            t.add_grad(result)
        else:
            key = (t.node, t.position)
            before = grads.get(key)
            grads[key] = (
                result if before is None else node.backend.forward(ARITHMETIC["add"], (before, result), {})[0][0]
            )
