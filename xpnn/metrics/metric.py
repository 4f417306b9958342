"""What every metric is, and how a batch is read: whatever its form, as scores and labels."""

from __future__ import annotations

from typing import Any, NamedTuple

from xpnn.core.contract import Backend
from xpnn.core.op import Array, Namespace
from xpnn.core.tape import no_grad
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import BackendError, DTypeError, ShapeError


class Metric:
    """The base of all: write the five methods.

    name              how it is called in a history
    higher_is_better  what EarlyStopping and its like go by; None where values have no order
    keeps             may `update` keep the outputs it is given? Then they are copies: the next step overwrites them

    `update` is what happens at every batch. Where it runs nothing but ops that add to arrays in place (see `Sums`), say
    so by `by_ops`: it is then a part of the training step, recorded and replayed with it, and costs no word from the
    host. Everything else is done to the results of a step, one by one. `value` is asked for at the end of an epoch.
    """

    keeps = True

    name: str
    higher_is_better: bool | None = True

    def update(self, output: Any, target: Any) -> None:
        """Take in a batch. ShapeError or DTypeError when outputs and targets do not fit."""
        raise NotImplementedError

    def by_ops(self, output: Tensor, target: Tensor) -> bool:
        """Is `update` with these done by ops alone? Shapes, dtypes and settings decide, never values."""
        return False

    def value(self) -> Any:
        """The metric over everything since `reset`; waits for the device. A history keeps it where it is a number."""
        raise NotImplementedError

    def reset(self) -> None:
        raise NotImplementedError

    def state(self) -> dict[str, Any]:
        """What was gathered, as numbers and lists."""
        raise NotImplementedError

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on from what `state` gave."""
        raise NotImplementedError


class Batch(NamedTuple):
    """A batch in one form: scores (N, C) or binary (N,), labels (N,) whole numbers or bool."""

    backend: Backend
    scores: Array
    labels: Array

    @property
    def classes(self) -> int:
        return self.scores.shape[1] if self.scores.ndim == 2 else 2


def read(name: str, output: Any, target: Any) -> Batch:
    """Outputs and targets as a Batch; the errors that `update` raises."""
    if not isinstance(output, Tensor):
        output = as_tensor(output, target) if isinstance(target, Tensor) else tensor(output)
    if not isinstance(target, Tensor):
        target = as_tensor(target, output)
    if target.backend is not output.backend:
        device = output.backend.device
        raise BackendError(
            f"{name}: expected one backend; got outputs on {device} and targets on {target.backend.device}. "
            f"Move one: target.to('{device}')"
        )
    y, t = output.data, target.data
    if y.ndim == 2 and t.ndim == 1 and y.shape[1] > 1 and t.dtype.kind in "iub" and len(t) == len(y):
        return Batch(output.backend, y, t)  # the usual case, first
    with output.backend.here():
        return Batch(output.backend, *_unusual(name, output.backend.xp, y, t))


def _unusual(name: str, xp: Namespace, y: Array, t: Array) -> tuple[Array, Array]:
    binary = y.ndim == 1 or (y.ndim > 1 and y.shape[-1] == 1)
    if binary and t.shape in (y.shape, y.shape[:-1], (*y.shape, 1)) and t.size == y.size:
        return xp.reshape(y, (-1,)), xp.reshape(t, (-1,)) > 0.5
    if not binary and y.ndim and y.shape[-1]:
        if t.shape == y.shape:
            return xp.reshape(y, (-1, y.shape[-1])), xp.reshape(xp.argmax(t, axis=-1), (-1,))
        if t.shape == y.shape[:-1]:
            if t.dtype.kind not in "iub":
                raise DTypeError(f"{name}: expected whole numbers as labels {t.shape}; got {t.dtype}")
            return xp.reshape(y, (-1, y.shape[-1])), xp.reshape(t, (-1,))
    raise ShapeError(
        f"{name}: expected outputs (..., C) with labels (...) or targets (..., C), or binary ones (N,); "
        f"got {y.shape} with {t.shape}"
    )


def in_rows(output: Any, target: Any) -> bool:
    """Are these tensors of one backend, scores (..., C) with integer labels (...)?"""
    if not (isinstance(output, Tensor) and isinstance(target, Tensor)) or output.backend is not target.backend:
        return False
    y, t = output.data, target.data
    return y.ndim > 1 and y.shape[-1] > 1 and y.dtype.kind == "f" and t.dtype.kind in "iu" and t.shape == y.shape[:-1]


def rows(name: str, output: Any, target: Any, threshold: float) -> tuple[Tensor, Tensor]:
    """Scores (N, C) and integer labels (N,), by ops where they are `in_rows` already; binary ones as two classes, whose
    larger score is that of the class they mean. The errors are those that `update` raises."""
    if in_rows(output, target):
        with no_grad():
            if output.ndim > 2:
                output, target = output.reshape(-1, output.shape[-1]), target.reshape(-1)
        return output, target
    batch = read(name, output, target)
    xp, y, labels = batch.backend.xp, batch.scores, batch.labels
    with batch.backend.here():
        if not xp.isdtype(y.dtype, "real floating"):
            y = xp.astype(y, xp.float64)
        if y.ndim == 1:
            y = xp.stack([xp.full_like(y, threshold), y], axis=1)
        if xp.isdtype(labels.dtype, "bool"):
            labels = xp.astype(labels, xp.int64)
    return Tensor(y, batch.backend), Tensor(labels, batch.backend)
