"""Tensors and parameters: an array on a backend, and the place it has in a graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.arithmetic import need_dtype
from xpnn.core.contract import Backend
from xpnn.core.gradients import Gradients
from xpnn.core.host import host_array, host_numbers
from xpnn.core.op import Array, Spec
from xpnn.core.operators import Operators
from xpnn.core.recording import refuse
from xpnn.errors import AutogradError, BackendError, DTypeError, ShapeError

if TYPE_CHECKING:
    from xpnn.core.tape import Node


class Tensor(Gradients, Operators):
    """An array on a backend, and the place it has in a graph.

    data           the backend's own array
    backend        where it lives
    requires_grad  is a gradient wanted here or further back?
    """

    __slots__ = ("node", "position", "requires_grad", "version")
    __array_ufunc__ = None  # numpy_array * tensor is ours to answer, with a gradient

    def __init__(self, data: Array, backend: Backend, requires_grad: bool = False) -> None:
        self.data = data
        self.backend = backend
        self.requires_grad = requires_grad
        self.node: Node | None = None
        self.position = 0
        self.version = [0]  # shared by views; every write in place adds one
        self._grad: Array | None = None
        self._grad_state = False

    # Gradients ----------------------------------------------------------------------------------------------------

    @property
    def grad(self) -> Tensor | None:
        """The gradient gathered since the last `zero_grad`, or None where none was ever wanted."""
        if self._grad is None:
            return None
        self.settle_grad()
        return Tensor(self._grad, self.backend)

    def backward(self, grad: Any = None, retain_graph: bool = False) -> None:
        """Add d(self)/d(leaf) to the gradient of every leaf this tensor was computed from.

        grad: the gradient of what follows, in this tensor's shape; may be left out for a scalar (it is 1).
        retain_graph: keep what backward needs, for a second call. Raises AutogradError when there is no graph, when
        an earlier call has freed it, or when an array it needs was changed since: before any gradient is added.
        ShapeError when grad does not fit.
        """
        from xpnn.core.tape import backward  # tape.py imports this file

        backward(self, grad, retain_graph)

    # Places and forms -------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        return self.data.size

    def __len__(self) -> int:
        if not self.shape:
            raise ShapeError("len: expected at least one axis; got a scalar tensor")
        return self.shape[0]

    def numpy(self) -> np.ndarray:
        """The values on the host, without the graph. Shares memory with the tensor on host backends."""
        refuse("a value is read on the host (.numpy(), .item(), float(), a comparison in `if`)")
        return self.backend.to_host(self.data)

    def item(self) -> float | int | bool:
        """The one value of a tensor with one element; waits for the device. ShapeError when there are others."""
        if self.data.size != 1:
            raise ShapeError(f"item: expected one element; got {self.shape}")
        return self.numpy().item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        refuse("a tensor is given to NumPy")
        if self.requires_grad or not self.backend.on_host:
            where = "that is part of a graph" if self.requires_grad else f"on {self.backend.device}"
            raise BackendError(f"NumPy was given a tensor {where}; use .numpy()")
        return np.array(self.data, dtype=dtype, copy=copy)

    def detach(self) -> Tensor:
        """The same memory outside the graph."""
        other = Tensor(self.data, self.backend)
        other.version = self.version
        return other

    def to(self, backend: str | Backend) -> Tensor:
        """A copy on another backend, outside the graph; this very tensor when it lives there already."""
        target = backends.get(backend)
        if target is self.backend:
            return self
        if self.node is not None:
            raise AutogradError("to: expected a tensor outside a graph; move the inputs, or use .detach().to()")
        values = self.numpy()
        other = Tensor(target.from_host(values.copy() if self.backend.on_host else values), target)
        other.requires_grad = self.requires_grad
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A leaf of its own, with the same values on the same backend: without graph, gradient or optimizer."""
        data = self.backend.empty(Spec(self.shape, self.dtype))
        self.backend.copy(self.data, data)
        other = self._like(data)
        memo[id(self)] = other
        return other

    def _like(self, data: Array) -> Self:
        return type(self)(data, self.backend, self.requires_grad)

    def move(self, target: Backend, data: Array, grad: Array | None) -> None:
        """Live in these arrays from now on, still the same tensor."""
        self.backend, self.data, self._grad = target, data, grad
        self._grad_state = self._grad_state and grad is not None
        self.version[0] += 1

    def moving(self, target: Backend) -> Callable[[], None]:
        """Copy this leaf and its gradient to another backend; calling the answer makes this very tensor live there."""
        source = self.backend
        self.settle_grad()
        data = target.from_host(source.to_host(self.data))
        grad = None if self._grad is None else target.from_host(source.to_host(self._grad))
        return lambda: self.move(target, data, grad)

    def assign(self, values: Any) -> None:
        """New values in place, of this shape and dtype; a host array from a device is copied over.

        Raises ShapeError when the shape is another one, AutogradError for a tensor that an op computed.
        """
        if self.node is not None:
            raise AutogradError("assign: expected a leaf; got a tensor with a graph behind it. Use .detach() first")
        array = np.asarray(values)
        if array.shape != self.shape:
            raise ShapeError(f"assign: expected values {self.shape}; got {array.shape}")
        refuse("a tensor is assigned values from the host. Do it between steps")
        self.backend.copy(self.backend.from_host(host_array(array, self.dtype)), self.data)
        self.version[0] += 1

    def __repr__(self) -> str:
        grad = ", requires_grad" if self.requires_grad else ""
        return f"{type(self).__name__}({np.array2string(self.numpy(), threshold=20)}, {self.backend.device}{grad})"


class Parameter(Tensor):
    """A leaf that training changes.

    decay: do L1, L2 and weight decay apply to it? Biases and gains say no (Goodfellow et al., Deep Learning, 7.1).
    """

    __slots__ = ("arena", "decay")

    def __init__(self, data: Array, backend: Backend, decay: bool = True) -> None:
        super().__init__(data, backend, requires_grad=True)
        self.decay = decay
        self.arena: Any = None  # set by the optimizer that packs this parameter

    def _like(self, data: Array) -> Self:
        other = type(self)(data, self.backend, self.decay)
        other.requires_grad = self.requires_grad
        return other


def tensor(data: Any, dtype: Any = None, backend: str | Backend | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor on `backend` (default: the one in use) from numbers, lists or an array.

    Always a copy, but for an array that lives on the device already: that one is taken as it is.
    dtype: default is that of an array, float32 for lists with a fraction, int64 for whole numbers.
    Raises DTypeError for what is no number.
    """
    place = backends.get(backend) if backend is not None else backends.current()
    refuse("a tensor is made from numbers of the host. Make it before, or pass it as an argument")
    if dtype is not None:
        dtype = need_dtype("tensor", dtype)
    if isinstance(data, Tensor):
        data = data.numpy()
    if place.owns(data) and not isinstance(data, np.ndarray):  # a device array, there already
        with place.here():
            array = data if dtype is None else place.xp.astype(data, dtype)
    else:
        array = place.from_host(host_array(data, dtype, copy=place.on_host))
    if requires_grad and array.dtype.kind != "f":
        raise DTypeError(f"tensor: expected a floating-point dtype with requires_grad; got {array.dtype}")
    return Tensor(array, place, requires_grad)


def as_tensor(value: Any, like: Tensor) -> Tensor:
    """What an op takes as an input beside `like`: tensors as they are, numbers and lists and NumPy arrays as
    constants there, floating-point ones and Python numbers in its dtype. An array may share its memory.

    Raises BackendError for a NumPy array beside a tensor on a device: such a copy is yours to ask for.
    """
    if isinstance(value, Tensor):
        return value
    if not isinstance(like, Tensor):  # ops.dense(x, w) with two arrays
        like = tensor(like)
    place = like.backend
    if isinstance(value, np.ndarray) and value.ndim and not place.on_host:
        raise BackendError(
            f"expected arrays on {place.device}; got a NumPy array. Use xpnn.tensor(x).to('{place.device}')"
        )
    if not isinstance(value, np.ndarray) and place.owns(value):
        return Tensor(value, place)
    array = host_numbers(value)
    if array.dtype.kind not in "fiub":
        raise DTypeError(f"expected a tensor, an array or numbers; got {type(value).__name__}")
    kind = array.dtype.kind
    wanted = like.dtype if kind == like.dtype.kind == "f" else None
    if not isinstance(value, np.ndarray) and array.ndim == 0:
        if kind == "f":
            wanted = like.dtype if like.dtype.kind == "f" else np.dtype("float32")
        elif kind in "iu" and like.dtype.kind != "b":
            wanted = like.dtype
            if wanted.kind in "iu" and not np.iinfo(wanted).min <= int(array) <= np.iinfo(wanted).max:
                raise DTypeError(f"expected a number that fits in {wanted}; got {value}. Convert with .astype() first")
        # Filled there: `2 * x` copies nothing to a GPU.
        return Tensor(place.full(Spec((), array.dtype if wanted is None else wanted), array.item()), place)
    refuse("an array of the host enters an op. Pass it as an argument of the step")
    return Tensor(place.from_host(host_array(array, wanted)), place)
