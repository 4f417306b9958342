"""What happens when a module is called: raw inputs become tensors, recordings and watchers are told, forward runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import NoneType
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.core.outside import Look, around, within
from xpnn.core.recording import active, module_changes, refuse
from xpnn.core.tensor import Parameter, Tensor, as_tensor, tensor

if TYPE_CHECKING:
    from xpnn.core.contract import Backend
    from xpnn.nn.module import Module

Watcher = Callable[[Any, Any], None]
_watchers: list[Watcher] = []


@contextmanager
def watching(watcher: Watcher) -> Iterator[None]:
    """Inside the block watcher(module, output) is called after every module's forward: guards, shape reports."""
    _watchers.append(watcher)
    try:
        yield
    finally:
        _watchers.remove(watcher)


def _watched() -> int:
    return len(_watchers)


class Called:
    """The half of a Module that is called."""

    reports = True  # to recordings, see `_settings`

    if TYPE_CHECKING:

        @property
        def backend(self) -> Backend: ...
        def parameters(self) -> Iterator[Parameter]: ...
        def named_modules(self) -> Iterator[tuple[str, Module]]: ...

    def forward(self, *inputs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__}.forward is not written")

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        module_changes[0] += 1

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        """forward; NumPy arrays and lists of numbers take the backend and dtype of the parameters first."""
        given = [x if isinstance(x, Tensor) else self._beside_parameters(x) for x in inputs]
        if named:
            named = {name: x if isinstance(x, Tensor) else self._beside_parameters(x) for name, x in named.items()}
        recording = active()
        if recording is not None:
            recording.guard(_watched)
            if _watchers:
                refuse("its modules are being watched")
            for _, module in self.named_modules():
                recording.module(module, module._settings, module._looks)
        out = self.forward(*given, **named)
        for watcher in _watchers:
            watcher(self, out)
        return out

    def _settings(self) -> list[Any]:
        """What `forward` may decide by: a recorded step holds while it is the same. Tensors say themselves."""
        return [part for item in vars(self).items() for part in item]

    def _looks(self) -> list[Look]:
        """Looks at what changes without an attribute being set: inside of attributes, and around code of one's own."""
        looks = []
        if any([not isinstance(v, (Tensor, Called, NoneType)) and not is_plain(v) for v in vars(self).values()]):
            looks.append(within(vars(self).values))
        if not type(self).__module__.startswith("xpnn."):
            looks.append(around(type(self).forward))
            own = [c for c in type(self).__mro__ if c is not object and not c.__module__.startswith("xpnn.")]
            looks.append(within(lambda: [v for c in own for v in vars(c).values() if is_plain(v)]))
        return looks

    def _beside_parameters(self, x: Any) -> Any:
        if not isinstance(x, (np.ndarray, list)) and not self.backend.owns(x):
            return x
        if isinstance(x, list) and _has_tensors(x):  # as they are: stacked into one they would lose their graphs
            return x
        like = next(self.parameters(), None)
        return tensor(x) if like is None else as_tensor(x, like)


def _has_tensors(x: Any) -> bool:
    return isinstance(x, Tensor) or (isinstance(x, (list, tuple)) and any(_has_tensors(entry) for entry in x))


def is_plain(value: Any) -> bool:
    return isinstance(value, (bool, int, float, str))
