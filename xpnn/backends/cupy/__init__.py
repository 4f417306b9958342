"""CUDA through CuPy: kernels of `xpnn_kernels/cuda` where one is bound, the array-API references elsewhere.

Nothing moves between host and device unless `from_host` or `to_host` is called.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from types import SimpleNamespace
from typing import Any

import numpy as np

from xpnn.backends.cupy import causes, graph
from xpnn.core.contract import Attrs, Backend
from xpnn.core.op import Array, Kept, Namespace, Op, Spec
from xpnn.core.transfers import note
from xpnn.errors import BackendError


class CupyBackend(Backend):
    """The arrays and ops of one GPU. Every method makes that GPU the current one while it runs.

    What runs there runs one after the other, on one stream at a time: kernels share counters, products a workspace.
    """

    name = "cupy"
    on_host = False
    replays = True
    bindings = "xpnn.backends.cupy"

    def __init__(self, cupy: Any, xp: Namespace, index: int) -> None:
        super().__init__()
        self.cupy, self.xp, self.index = cupy, xp, index
        self.gpu = cupy.cuda.Device(index)

    @property
    def device(self) -> str:
        return f"cuda:{self.index}"

    # Arrays -----------------------------------------------------------------------------------------------

    def empty(self, spec: Spec) -> Array:
        with _On(self, "empty"):
            return self.cupy.empty(spec.shape, spec.dtype)

    def from_host(self, array: np.ndarray) -> Array:
        """A copy on this GPU, C-contiguous; the host array is free to change afterwards."""
        if not isinstance(array, (np.ndarray, np.generic)):
            raise BackendError(f"{self.device}: expected a NumPy array to copy from; got {describe(array)}")
        note("to_device")
        with _On(self, "from_host"):
            return self.cupy.array(array, order="C")

    def to_host(self, array: Array) -> np.ndarray:
        """A copy on the host; waits for the GPU."""
        note("to_host")
        with _On(self, "to_host"):
            return self.cupy.asnumpy(array, order="C")

    def owns(self, array: Any) -> bool:
        return isinstance(array, self.cupy.ndarray) and array.device.id == self.index

    def set(self, out: Array, value: Any) -> None:
        for role, array in (("source", value), ("out", out)):
            if not isinstance(array, (int, float)) and not self.owns(array):
                fix = f"Use backend.from_host(x), or .to('{self.device}') on a tensor"
                raise BackendError(f"copy: expected {role} on {self.device}; got {describe(array)}. {fix}")
        with _On(self, "copy"):
            out[...] = value

    def address(self, array: Array) -> tuple[Any, ...]:
        return array.data.ptr, array.shape, array.strides

    def overlap(self, array: Array, others: Sequence[Array | None]) -> bool:
        spans = [_span(other) for other in (array, *others) if other is not None]
        return any([spans[0][0] < end and start < spans[0][1] for start, end in spans[1:]])

    def bundled(self, calls: Sequence[Callable[[], Any]]) -> list[Callable[[], Any]]:
        return [graph.bundled(self, calls)]

    def here(self, doing: str = "array code") -> _On:
        return _On(self, doing)

    def ready(self, arrays: Sequence[Array]) -> tuple[Array, ...]:
        """Contiguous arrays: kernels index them flat. None (not kept, not wanted) passes."""
        return tuple([a if a is None or a.flags.c_contiguous else self._contiguous(a) for a in arrays])

    def _contiguous(self, array: Array) -> Array:
        with _On(self, "ready"):
            return self.cupy.ascontiguousarray(array)

    def synchronize(self) -> None:
        note("waits")
        self.gpu.synchronize()

    # Running ops ------------------------------------------------------------------------------------------

    def forward(
        self, op: Op, inputs: Sequence[Array], attrs: Attrs, out: Sequence[Array | None] = (), keep: bool = True
    ) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        with _On(self, op.name):
            return super().forward(op, inputs, attrs, out, keep)

    def backward(
        self,
        op: Op,
        wanted: Sequence[bool],
        douts: Sequence[Array],
        kept: Kept,
        attrs: Attrs,
        out: Sequence[Array | None],
    ) -> list[Array | None]:
        with _On(self, f"backward of {op.name}"):
            return super().backward(op, wanted, douts, kept, attrs, out)


class _Shortage(BackendError):
    """Lack of memory: what CuPy said comes along, so that a block around this one can name what it was doing."""

    first: BaseException


class _On(AbstractContextManager):
    """Inside the block the backend's GPU is the current one, and its lack of memory is a BackendError."""

    __slots__ = ("backend", "doing")

    def __init__(self, backend: CupyBackend, doing: str) -> None:
        self.backend, self.doing = backend, doing

    def __enter__(self) -> None:
        self.backend.gpu.__enter__()

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        shortage, first = None, error.first if isinstance(error, _Shortage) else error
        kind_of_it = self.backend.cupy.cuda.memory.OutOfMemoryError
        while first is not None and not isinstance(first, kind_of_it):
            first = first.__context__  # a capture that failed for lack of memory fails again when it is ended
        if first is not None:
            shortage = _Shortage(self._shortage(first))
            shortage.first = first
        self.backend.gpu.__exit__(kind, error, trace)
        if shortage is not None:
            raise shortage from None

    def _shortage(self, error: BaseException) -> str:
        found = re.search(r"allocating ([\d,]+) bytes", str(error))
        asked = _size(int(found[1].replace(",", ""))) if found else "memory"
        free, total = self.backend.gpu.mem_info
        kept = self.backend.cupy.get_default_memory_pool().free_bytes()
        return (
            f"{self.backend.device}: out of memory in {self.doing}: asked for {asked}; free are {_size(free)} of "
            f"{_size(total)}, and {_size(kept)} in pieces in CuPy's pool. Use a smaller batch, or stop what else uses "
            "the GPU (nvidia-smi)"
        )


def _span(array: Array) -> tuple[int, int]:
    """The addresses from an array's first byte to behind its last."""
    start = end = array.data.ptr
    if array.size == 0:
        return start, start
    for length, step in zip(array.shape, array.strides, strict=True):
        reach = (length - 1) * step
        start, end = start + min(reach, 0), end + max(reach, 0)
    return start, end + array.itemsize


def _size(nbytes: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if nbytes >= scale:
            return f"{nbytes / scale:.1f} {unit}"
    return f"{nbytes} bytes"


def describe(array: Any) -> str:
    """What an array is and where, for messages."""
    if isinstance(array, np.ndarray):
        return "a NumPy array"
    place = getattr(getattr(array, "device", None), "id", None)
    return f"{type(array).__module__}.{type(array).__name__}" + ("" if place is None else f" on cuda:{place}")


# Finding out whether it can be used -------------------------------------------------------------------------


def namespace(cupy: Any) -> Namespace:
    """The array-API functions on CuPy, as array-api-compat gives them, but for clip: that wrapper copies both bounds
    from the host and waits for the GPU twice, to count the elements of a mask; CuPy's own is a single kernel."""

    def clip(x, low=None, high=None):
        return x.copy() if low is None and high is None else cupy.clip(x, low, high)

    compat = importlib.import_module("array_api_compat.cupy")
    return SimpleNamespace(**{**vars(compat), "clip": clip})


def trouble(index: int = 0) -> causes.Cause | None:
    """What keeps GPU number `index` from being used, or None. Runs one product there, so that every library loads."""
    try:
        cupy = importlib.import_module("cupy")
        namespace(cupy)
    except Exception as error:  # an extension module built for another NumPy raises anything
        return causes.no_import(error, causes.driver())
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        return causes.no_device(error, causes.driver())
    if count == 0:
        return causes.no_device(None, causes.driver())
    if index >= count:
        known = "cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        return causes.Cause(f"there is no such GPU; this machine has {known}", "use 'cuda:0'")
    try:
        with cupy.cuda.Device(index):
            x = cupy.ones((2, 2), np.float32)
            (x @ x + x).get()
    except Exception as error:
        on = causes.driver()
        wrong = causes.wrong_wheel(causes.wheels(), on)
        text = f"CUDA's libraries do not work ({causes.brief(error)})"
        return wrong or causes.Cause(text, causes.install(on, "--force-reinstall "))
    return None


def create(index: int) -> CupyBackend:
    cause = trouble(index)
    if cause is not None:
        raise BackendError(f"backend 'cuda:{index}': {cause.text}; {cause.fix}")
    cupy = importlib.import_module("cupy")
    return CupyBackend(cupy, namespace(cupy), index)
