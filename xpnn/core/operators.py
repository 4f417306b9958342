"""The methods of a Tensor that are ops: `x + y`, `x[1:]`, `x.sum(axis=0)`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.core.arithmetic import OPS as ARITHMETIC
from xpnn.core.arithmetic import need_dtype, need_whole
from xpnn.core.matmul import MATMUL
from xpnn.core.op import Op
from xpnn.core.reduction import OPS as REDUCTIONS
from xpnn.core.reduction import normalise_axes, normalise_axis
from xpnn.core.select import CLIP, plain_bound
from xpnn.core.shape import ASTYPE, INDEX, RESHAPE, TAKE, TRANSPOSE, freeze_key, need_inside
from xpnn.errors import DTypeError, ShapeError

if TYPE_CHECKING:
    from xpnn.core.contract import Backend
    from xpnn.core.tensor import Tensor

Axis = int | tuple[int, ...] | None


class Operators:
    """Mixed into Tensor. Everything broadcasts as NumPy does and has a gradient unless it says otherwise."""

    __slots__ = ()

    if TYPE_CHECKING:
        data: Any
        backend: Backend

        @property
        def shape(self) -> tuple[int, ...]: ...
        @property
        def ndim(self) -> int: ...
        @property
        def dtype(self) -> np.dtype: ...
        def item(self) -> float | int | bool: ...

    def _apply(self, op: Op, *inputs: Any, **attrs: Any) -> Any:
        from xpnn.core.tape import apply  # tape.py imports this file

        return apply(op, *inputs, **attrs)

    def _beside(self, other: Any) -> Any:
        from xpnn.core.tensor import as_tensor  # tensor.py imports this file

        return as_tensor(other, self)  # type: ignore[arg-type]

    # Arithmetic -----------------------------------------------------------------------------------------------

    def __add__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["add"], self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["subtract"], self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["subtract"], other, self)

    def __mul__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["multiply"], self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["divide"], self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["divide"], other, self)

    def __pow__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["power"], self, other)

    def __rpow__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["power"], other, self)

    def __matmul__(self, other: Any) -> Tensor:
        """The matrix product; a vector (I,) is a row on the left and a column on the right, as in NumPy."""
        return _matmul(self, self._beside(other))

    def __rmatmul__(self, other: Any) -> Tensor:
        return _matmul(self._beside(other), self)

    def __neg__(self) -> Tensor:
        return self._apply(ARITHMETIC["negative"], self)

    def __abs__(self) -> Tensor:
        return self._apply(ARITHMETIC["abs"], self)

    abs = __abs__

    def exp(self) -> Tensor:
        return self._apply(ARITHMETIC["exp"], self)

    def log(self) -> Tensor:
        """The natural logarithm."""
        return self._apply(ARITHMETIC["log"], self)

    def sqrt(self) -> Tensor:
        return self._apply(ARITHMETIC["sqrt"], self)

    def square(self) -> Tensor:
        return self._apply(ARITHMETIC["square"], self)

    # Comparison: tensors of bool, without a gradient --------------------------------------------------------------

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return self._apply(ARITHMETIC["equal"], self, other)

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return self._apply(ARITHMETIC["not_equal"], self, other)

    def __lt__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["less"], self, other)

    def __le__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["less_equal"], self, other)

    def __gt__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["greater"], self, other)

    def __ge__(self, other: Any) -> Tensor:
        return self._apply(ARITHMETIC["greater_equal"], self, other)

    __hash__ = object.__hash__  # tensors are told apart by identity, whatever == answers

    def __bool__(self) -> bool:
        if self.shape not in ((), (1,)):
            raise ShapeError(f"bool: expected one element; got {self.shape}. Compare with .numpy().all() or .any()")
        return bool(self.item())

    # The one value as Python's own number; waits for the device ---------------------------------------------------

    def __float__(self) -> float:
        return float(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise DTypeError(f"index: expected a whole number; got a tensor of {self.dtype}")
        return int(self.item())

    # Reductions: axis None means all axes -------------------------------------------------------------------------

    def _reduce(self, name: str, axis: Axis, keepdims: bool) -> Tensor:
        axes = normalise_axes(name, axis, self.ndim)
        return self._apply(REDUCTIONS[name], self, axis=axes, keepdims=keepdims)

    def sum(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return self._reduce("sum", axis, keepdims)

    def mean(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        return self._reduce("mean", axis, keepdims)

    def max(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The largest; elements that tie share the gradient."""
        return self._reduce("max", axis, keepdims)

    def min(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The smallest; elements that tie share the gradient."""
        return self._reduce("min", axis, keepdims)

    def var(self, axis: Axis = None, keepdims: bool = False) -> Tensor:
        """The mean squared distance from the mean (divided by n, not n - 1)."""
        return (self - self.mean(axis, keepdims=True)).square().mean(axis, keepdims)

    def argmax(self, axis: int) -> Tensor:
        """Where the largest is along an axis, int64, the first of equals; no gradient."""
        return self._apply(REDUCTIONS["argmax"], self, axis=normalise_axis("argmax", axis, self.ndim))

    def argmin(self, axis: int) -> Tensor:
        """Where the smallest is along an axis, int64, the first of equals; no gradient."""
        return self._apply(REDUCTIONS["argmin"], self, axis=normalise_axis("argmin", axis, self.ndim))

    # Form ---------------------------------------------------------------------------------------------------------

    def reshape(self, *shape: int | tuple[int, ...]) -> Tensor:
        """The same elements in another shape; one length may be -1."""
        wanted = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
        return self._apply(RESHAPE, self, shape=tuple([need_whole("reshape", n) for n in wanted]))

    def transpose(self, *axes: int | tuple[int, ...]) -> Tensor:
        """The axes in this order; without arguments, reversed."""
        if len(axes) == 1 and isinstance(axes[0], (tuple, list)):
            axes = tuple(axes[0])
        order = normalise_order(axes, self.ndim) if axes else tuple(range(self.ndim))[::-1]
        return self._apply(TRANSPOSE, self, axes=order)

    @property
    def T(self) -> Tensor:
        return self.transpose()

    def __getitem__(self, key: Any) -> Tensor:
        if isinstance(key, (list, np.ndarray)) or hasattr(key, "backend"):
            return self.take(key)
        return self._apply(INDEX, self, key=freeze_key(key))

    def __iter__(self) -> Iterator[Tensor]:
        return (self[i] for i in range(len(self)))  # type: ignore[arg-type]

    def take(self, indices: Any, axis: int = 0) -> Tensor:
        """The rows that `indices` (K,) name along an axis, in that order; those below 0 count from the end.

        Raises ShapeError for an index that names none. On a GPU that is not looked at: it would wait for the device.
        """
        if isinstance(indices, list):
            indices = np.asarray(indices)
        at = normalise_axis("take", axis, self.ndim)
        if self.backend.on_host and getattr(indices, "backend", self.backend) is self.backend:
            need_inside(np.asarray(indices.data if hasattr(indices, "backend") else indices), self.shape[at])
        return self._apply(TAKE, self, indices, axis=at)

    def clip(self, low: float | None = None, high: float | None = None) -> Tensor:
        """Values below low become low, above high become high; the gradient passes between."""
        return self._apply(CLIP, self, low=plain_bound(low, self.dtype), high=plain_bound(high, self.dtype))

    def astype(self, dtype: Any) -> Tensor:
        """In another dtype, gradient included."""
        return self._apply(ASTYPE, self, dtype=need_dtype("astype", dtype).name)


def normalise_order(axes: tuple[Any, ...], ndim: int) -> tuple[int, ...]:
    """Axes counted from the front, in the order given."""
    whole = [need_whole("transpose", a) for a in axes]
    return tuple(a % ndim if -ndim <= a < ndim else a for a in whole)


def _matmul(x: Any, y: Any) -> Tensor:
    row, column = x.ndim == 1, y.ndim == 1
    if not row and not column:
        return x._apply(MATMUL, x, y)
    z = x._apply(MATMUL, x.reshape(1, -1) if row else x, y.reshape(-1, 1) if column else y)
    N, O = z.shape[-2:]
    return z.reshape((*z.shape[:-2], *(() if row else (N,)), *(() if column else (O,))))
