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
from xpnn.core.precision import current_precision
from xpnn.core.recording import active
from xpnn.core.tensor import Parameter, Tensor, as_tensor, tensor
from xpnn.errors import AutogradError, BackendError, ConfigError, DTypeError, ShapeError

_sequence = itertools.count()
_recording: ContextVar[bool] = ContextVar("xpnn_recording", default=True)


Edge = tuple["Node", int] | Tensor | None
"""Where the gradient of an input goes: to an output of a node, to a leaf, or nowhere."""


class Node:
    """One op that ran: where the gradients of its inputs go, and what its backward will read.

    edges    an Edge for each input; no activation stays alive for them
    kept     see `Kept`; None after a backward that has freed it
    watched  (position, version list, version then) of every array in `kept` that a later write would spoil; the
             position is that of an input, -1 for the outputs
    """

    __slots__ = ("attrs", "backend", "edges", "kept", "op", "out_specs", "sequence", "watched")

    def __init__(self, op: Op, backend: Backend, attrs: dict[str, Any], edges: Sequence[Edge]) -> None:
        self.sequence = next(_sequence)
        self.op, self.backend, self.attrs, self.edges = op, backend, attrs, edges
        self.kept: Kept | None = None
        self.watched: list[tuple[int, list[int], int]] = []
        self.out_specs: tuple[Spec, ...] = ()

    def free(self) -> None:
        """Let go of everything behind this node."""
        self.kept, self.edges, self.watched = None, (), []


@contextmanager
def no_grad() -> Iterator[None]:
    """Inside the block ops leave no tape: evaluation, and updates of one's own."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def recording_graph() -> bool:
    """Do ops leave a tape here?"""
    return _recording.get()


def apply(op: Op, *inputs: Any, **attrs: Any) -> Any:
    """Run an op on tensors (at least one; the rest may be numbers or arrays): a Tensor, or a tuple where it has several
    outputs. Raises BackendError when the tensors live on two backends."""
    results = _run(op, inputs, attrs, ())
    return results[0] if len(results) == 1 else results


def update(op: Op, *inputs: Any, **attrs: Any) -> Any:
    """`apply`, with each output for which the record's `updates` names an input written into that: what is left of the
    outputs, a Tensor, or a tuple where it is not one.

    For state that training carries along: random streams, running statistics. Raises ConfigError for an op that
    updates nothing, DTypeError where what would be written is no Tensor.
    """
    if not any(op.updates):
        raise ConfigError(f"update: expected an op with an output that updates an input; got {op.name}")
    targets = [inputs[op.inputs.index(name)] if name else None for name in op.updates]
    for name, t in zip(op.updates, targets, strict=True):
        if name and not isinstance(t, Tensor):
            raise DTypeError(f"{op.name}: expected {name} as a Tensor, which is written; got {type(t).__name__}")
    results = _run(op, inputs, attrs, targets)
    return results[0] if len(results) == 1 else results


def _run(op: Op, inputs: Sequence[Any], attrs: dict[str, Any], targets: Sequence[Tensor | None]) -> tuple[Tensor, ...]:
    """The outputs that go into none of the targets."""
    anchor = next((x for x in inputs if isinstance(x, Tensor)), None)
    if anchor is None:
        anchor = inputs_anchor = tensor(inputs[0])
        inputs = (inputs_anchor, *inputs[1:])
    tensors = [x if isinstance(x, Tensor) else as_tensor(x, anchor) for x in inputs]
    place = anchor.backend
    if op.products:
        attrs.setdefault("precision", current_precision())
    for i, t in enumerate(tensors):
        if t.backend is not place:
            raise BackendError(_mixed(op, tensors, i))
    keep = _recording.get() and op.backward is not None and any([t.requires_grad for t in tensors])
    written = [t for t in targets if t is not None]
    slots = [None if t is None else t.data for t in targets]
    outs, saved = place.forward(op, [t.data for t in tensors], attrs, out=slots, keep=keep)
    recording = active()
    if recording is not None:
        recording.used(op, tensors)
    given = slots or [None] * len(outs)
    results = tuple([Tensor(out, place) for out, slot in zip(outs, given, strict=True) if slot is None])
    if op.view:
        results[0].version = tensors[0].version
    if keep and results:
        _record(op, place, attrs, tensors, results, saved)
    for t in written:
        t.version[0] += 1
        if recording is not None:
            recording.written(t.version)
    return results


def _record(op, place, attrs, tensors, results, saved) -> None:
    for i, t in enumerate(tensors if op.constants else ()):
        if t.requires_grad and op.input_name(i) in op.constants:
            raise AutogradError(f"{op.name}: {op.input_name(i)} has no gradient; use .detach()")
    edges = [(t.node, t.position) if t.node is not None else t if t.requires_grad else None for t in tensors]
    node = Node(op, place, attrs, edges)
    keeps, keeps_out = op.kept_inputs(len(tensors)), "out" in op.keeps
    node.kept = Kept(
        tuple([t.data if kept else None for t, kept in zip(tensors, keeps, strict=True)]),
        tuple([r.data if keeps_out else None for r in results]),
        saved,
        tuple([Spec(t.data.shape, t.data.dtype) for t in tensors]),
    )
    node.watched = [(i, t.version, t.version[0]) for i, t in enumerate(tensors) if keeps[i]]
    if keeps_out:
        node.watched += [(-1, r.version, r.version[0]) for r in results]
    node.out_specs = tuple([Spec(r.data.shape, r.data.dtype) for r in results])
    for position, result in enumerate(results):
        if result.data.dtype.kind == "f":
            result.node, result.position, result.requires_grad = node, position, True


def _mixed(op: Op, tensors: Sequence[Tensor], i: int) -> str:
    first, other = tensors[0].backend.device, tensors[i].backend.device
    # A parameter stays: it is the input that the caller has in hand.
    at, target = (0, other) if isinstance(tensors[i], Parameter) else (i, first)
    model = first if at == 0 else other
    return (
        f"{op.name}: expected one backend; got {op.input_name(0)} on {first} and {op.input_name(i)} on {other}. "
        f"Move one: {op.input_name(at)}.to('{target}'), or the model: model.to('{model}')"
    )


def backward(root: Tensor, grad: Any = None, retain_graph: bool = False) -> None:
    """See `Tensor.backward`."""
    if not root.requires_grad:
        raise AutogradError("backward: this tensor has no graph; was it computed under no_grad, or from no parameter?")
    if grad is None:
        if root.data.size != 1:
            raise ShapeError(f"backward: expected a scalar, or a gradient to start from; got {root.shape}. Use .mean()")
        saved = _saved_gradient(root.node)
        seed = None if saved else root.backend.full(Spec(root.shape, root.dtype), 1)
    else:
        saved, start = None, as_tensor(grad, root)
        if start.shape != root.shape or start.dtype != root.dtype or start.backend is not root.backend:
            raise ShapeError(
                f"backward: expected a gradient {root.shape} {root.dtype}; got {start.shape} {start.dtype}"
            )
        seed = start.data
    if root.node is None:
        root.add_grad(seed)
        return
    grads: dict[tuple[Node, int], Array] = dict([saved or ((root.node, root.position), seed)])
    order = _reverse_order(root.node)
    for node in order:  # all of them before any runs: gradients are added to all or none
        if node.kept is None or any([version[0] != then for _, version, then in node.watched]):
            raise AutogradError(_spoilt(node))
    for node in order:
        douts = [grads.pop((node, i), None) for i in range(len(node.out_specs))]
        if any([d is not None for d in douts]):
            _run_backward(node, douts, grads)
        if not retain_graph:
            node.free()


def _saved_gradient(last: Node | None) -> tuple[tuple[Node, int], Array] | None:
    """Where the gradient of the only input that has one goes, and the gradient, if forward has computed it already."""
    if last is None or last.kept is None:
        return None
    edge, *others = last.edges
    if not isinstance(edge, tuple) or any([other is not None for other in others]):
        return None
    override = last.backend.route(last.op, last.kept.specs, last.attrs).override
    return (edge, last.kept.saved[0]) if override is not None and override.saves_gradient else None


def _reverse_order(last: Node) -> list[Node]:
    """Every node behind `last`, youngest first: an order that depends on the program alone."""
    found, todo = {last}, [last]
    while todo:
        for edge in todo.pop().edges:
            if isinstance(edge, tuple) and edge[0] not in found:
                found.add(edge[0])
                todo.append(edge[0])
    return sorted(found, key=lambda node: node.sequence, reverse=True)


def _spoilt(node: Node) -> str:
    """Why the backward of this node cannot run."""
    if node.kept is None:
        return (
            f"backward: what {node.op.name} had kept was freed by an earlier backward. "
            "Run the forward pass again, or call the first backward with retain_graph=True"
        )
    position = next(position for position, version, then in node.watched if version[0] != then)
    changed = "the output" if position < 0 else node.op.input_name(position)
    return (
        f"backward: {changed} of {node.op.name} was changed since the forward pass (by an optimizer step, or the next "
        "batch?). Run the forward pass again"
    )


def _run_backward(node: Node, douts: list[Array | None], grads: dict[tuple[Node, int], Array]) -> None:
    assert node.kept is not None
    edges, backend = node.edges, node.backend
    filled = [d if d is not None else backend.full(spec, 0) for d, spec in zip(douts, node.out_specs, strict=True)]
    wanted: list[bool] = []
    slots: list[Array | None] = []
    for edge in edges:
        if edge is None or isinstance(edge, tuple):
            wanted.append(edge is not None)
            slots.append(None)
        else:  # a leaf whose slot is free is written in place, unless it enters this op twice
            wanted.append(edge.requires_grad)
            direct = edge.requires_grad and edge.grad_is_free and sum([other is edge for other in edges]) == 1
            slots.append(edge.grad_slot() if direct else None)
    results = backend.backward(node.op, tuple(wanted), filled, node.kept, node.attrs, slots)
    for edge, want, result in zip(edges, wanted, results, strict=True):
        if isinstance(edge, tuple):
            before = grads.get(edge)
            grads[edge] = result if before is None else backend.forward(ARITHMETIC["add"], (before, result), {})[0][0]
        elif edge is not None and want:
            edge.add_grad(result)
