"""Functions over several tensors, and the elementwise ones by name: `xpnn.exp(x)`, `xpnn.concat([x, y], axis=1)`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from xpnn.core.arithmetic import OPS as ARITHMETIC
from xpnn.core.reduction import normalise_axis
from xpnn.core.select import WHERE
from xpnn.core.shape import CONCAT
from xpnn.core.tape import apply
from xpnn.core.tensor import Tensor, as_tensor, tensor
from xpnn.errors import ShapeError


def exp(x: Any) -> Tensor:
    """e to the power x, elementwise."""
    return apply(ARITHMETIC["exp"], x)


def log(x: Any) -> Tensor:
    """The natural logarithm, elementwise."""
    return apply(ARITHMETIC["log"], x)


def sqrt(x: Any) -> Tensor:
    """The square root, elementwise."""
    return apply(ARITHMETIC["sqrt"], x)


def sin(x: Any) -> Tensor:
    """The sine of x in radians, elementwise."""
    return apply(ARITHMETIC["sin"], x)


def cos(x: Any) -> Tensor:
    """The cosine of x in radians, elementwise."""
    return apply(ARITHMETIC["cos"], x)


def sign(x: Any) -> Tensor:
    """-1, 0 or 1, elementwise; its gradient is 0."""
    return apply(ARITHMETIC["sign"], x)


def maximum(x: Any, y: Any) -> Tensor:
    """The larger of two, elementwise; where they tie, each has half the gradient."""
    return apply(ARITHMETIC["maximum"], x, y)


def minimum(x: Any, y: Any) -> Tensor:
    """The smaller of two, elementwise; where they tie, each has half the gradient."""
    return apply(ARITHMETIC["minimum"], x, y)


def where(condition: Any, x: Any, y: Any) -> Tensor:
    """x where the condition (bool) holds, y elsewhere; all three broadcast.

    >>> import xpnn
    >>> x = xpnn.tensor([-1.0, 2.0])
    >>> xpnn.where(x > 0, x, 0.0).numpy().tolist()
    [0.0, 2.0]
    """
    anchor = next((t for t in (x, y) if isinstance(t, Tensor)), None)
    if anchor is not None:  # numbers take the dtype of the other branch, not that of the condition
        x, y = (as_tensor(t, anchor) for t in (x, y))
    return apply(WHERE, condition, x, y)


def concat(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors end to end along an axis; their other lengths agree."""
    found = _tensors(tensors, "concat")
    return apply(CONCAT, *found, axis=normalise_axis("concat", axis, found[0].ndim))


def stack(tensors: Sequence[Any], axis: int = 0) -> Tensor:
    """Tensors of one shape side by side along a new axis."""
    found = _tensors(tensors, "stack")
    first = found[0]
    at = normalise_axis("stack", axis, first.ndim + 1)
    shape = (*first.shape[:at], 1, *first.shape[at:])
    for t in found:
        if t.shape != first.shape:
            raise ShapeError(f"stack: expected tensors of one shape; got {first.shape} and {t.shape}")
    return apply(CONCAT, *[t.reshape(shape) for t in found], axis=at)


def _tensors(given: Iterable[Any], name: str) -> list[Tensor]:
    if not isinstance(given, Iterable):
        raise ShapeError(f"{name}: expected a list of tensors; got {type(given).__name__}")
    found = list(given)
    if not found:
        raise ShapeError(f"{name}: expected at least one tensor; got none")
    anchor = next((t for t in found if isinstance(t, Tensor)), None)
    if anchor is None:
        anchor = found[0] = tensor(found[0])
    return [as_tensor(t, anchor) for t in found]
