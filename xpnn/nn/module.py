"""Module: what a layer or model is. Parameters, buffers and sub-modules are found in its attributes, in their order.

class Pair(nn.Module):
    def __init__(self):
        self.left, self.right = nn.Dense(4, 2), nn.Dense(4, 2)

    def forward(self, x):
        return self.left(x) * self.right(x)
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Self

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.arithmetic import need_dtype
from xpnn.core.contract import Backend
from xpnn.core.random import DEFAULT
from xpnn.core.tensor import Parameter, Tensor
from xpnn.errors import BackendError, ConfigError, ShapeError
from xpnn.nn import init as initialisers
from xpnn.nn.call import Called, is_plain

Held = dict[str, tuple[str, tuple[int, ...] | None]]
"""Name: ("parameter", shape), (dtype of a buffer, shape) or (type of a module, None)."""


class Module(Called):
    """The base of layers and models: write `__init__` and `forward`.

    An attribute that is a Parameter is trained, another Tensor is a buffer (kept in checkpoints, not trained), a Module
    or a list, tuple or dict of them is part of this one. Looking for them raises ConfigError when some are in a set
    (which has no order), two have one name (the keys 1 and "1" of a dict), or a module contains itself.
    """

    training = True

    @staticmethod
    def holds(**settings: Any) -> Held:
        """The tensors and modules of a layer with these settings (all arguments of its constructor), by name.

        A layer that descriptions may name (see `xpnn.nn.config`) says it here: a file can then be checked against its
        description before anything is built.
        """
        return {}

    input_format: dict[str, Any] = {}  # noqa: RUF012 - replaced, never changed
    """What a model was trained on (shape of a sample, scale, shift, classes): set by a Trainer, kept in checkpoints."""

    # What it holds ------------------------------------------------------------------------------------------------

    def _walk(self, prefix: str = "") -> Iterator[tuple[str, Any]]:
        """Every tensor and module below, depth first, by dotted name; shared ones come as often as they stand."""
        names: set[str] = set()
        for name, value in _walk_value(prefix.removesuffix("."), self, ()):
            if name in names:
                raise ConfigError(f"{type(self).__name__}: expected distinct names; got {name!r} twice. Rename a key")
            names.add(name)
            if value is not self:
                yield name, value

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module under the name of the prefix, then all below it."""
        yield prefix.removesuffix("."), self
        for name, value in self._walk(prefix):
            if isinstance(value, Module):
                yield name, value

    def named_parameters(self) -> Iterator[tuple[str, Parameter]]:
        """Every parameter once, by its dotted name: `layers.0.w`, `encoder.b`."""
        seen: set[int] = set()
        for name, value in self._walk():
            if isinstance(value, Parameter) and id(value) not in seen:
                seen.add(id(value))
                yield name, value

    def parameters(self) -> Iterator[Parameter]:
        return (p for _, p in self.named_parameters())

    def named_buffers(self) -> Iterator[tuple[str, Tensor]]:
        """Every tensor that is kept but not trained."""
        return ((n, t) for n, t in self._walk() if isinstance(t, Tensor) and not isinstance(t, Parameter))

    @property
    def backend(self) -> Backend:
        """Where the parameters are; the backend in use for a module without any."""
        first = next(self.parameters(), None)
        return backends.current() if first is None else first.backend

    # Modes and places ---------------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training behaviour (dropout drops) in this module and all below."""
        for _, module in self.named_modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation behaviour in this module and all below."""
        return self.train(False)

    def to(self, backend: str | Backend) -> Self:
        """Move parameters, gradients, buffers and the state of the optimizer that trains them; this very module.

        backend: as for `xpnn.use`: "numba", "cuda:0", "auto", ... Raises BackendError when it cannot be used, or when
        the optimizer trains parameters outside of this module too (move the whole model then). All or nothing.
        """
        target = backends.get(backend)
        mine = {id(p) for p in self.parameters()}
        arenas = {id(p.arena): p.arena for p in self.parameters() if p.arena is not None}
        for arena in arenas.values():
            if any(p.arena is arena and id(p) not in mine for p in arena.parameters):
                raise BackendError("to: the optimizer trains parameters outside of this module; move the whole model")
        tensors = {id(t): t for _, t in [*self.named_parameters(), *self.named_buffers()]}
        loose = [t for t in tensors.values() if getattr(t, "arena", None) is None]
        # Every copy is made before anything changes: a device that runs out of memory leaves the model as it was.
        commits = [part.moving(target) for part in (*arenas.values(), *loose) if part.backend is not target]
        for commit in commits:
            commit()
        return self

    def astype(self, dtype: Any) -> Self:
        """Change the dtype of all parameters, before an optimizer is bound (ConfigError after that)."""
        wanted = need_dtype("astype", dtype)
        if wanted.kind != "f":
            raise ConfigError(f"astype: expected float32 or float64; got {wanted}")
        for name, p in self.named_parameters():
            if p.arena is not None:
                raise ConfigError(f"astype: {name} belongs to an optimizer already; convert the model first")
        for p in self.parameters():
            p.move(p.backend, p.backend.from_host(p.numpy().astype(wanted)), None)
        return self

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for p in self.parameters():
            p.zero_grad()

    # Keeping ------------------------------------------------------------------------------------------------------

    def state(self) -> dict[str, np.ndarray]:
        """Every parameter and buffer by name, on the host: copies."""
        return {name: t.numpy().copy() for name, t in [*self.named_parameters(), *self.named_buffers()]}

    def load_state(self, state: dict[str, np.ndarray]) -> None:
        """Take over what `state` gave, all or nothing. ShapeError names what is missing, unknown or misshapen."""
        mine = dict([*self.named_parameters(), *self.named_buffers()])
        missing, unknown = sorted(mine.keys() - state.keys()), sorted(state.keys() - mine.keys())
        if missing or unknown:
            raise ShapeError(f"load_state: expected {sorted(mine)}; missing {missing}, unknown {unknown}")
        for name, t in mine.items():
            if state[name].shape != t.shape or state[name].dtype != t.dtype:
                raise ShapeError(
                    f"load_state {name}: expected {t.shape} {t.dtype}; got {state[name].shape} {state[name].dtype}"
                )
        for name, t in mine.items():
            t.assign(state[name])

    def __repr__(self) -> str:
        parts = [f"{key}={value!r}" for key, value in vars(self).items() if is_plain(value) and key != "training"]
        held = [entry for v in vars(self).values() for entry in (v if isinstance(v, (list, tuple)) else (v,))]
        parts += [repr(entry) for entry in held if isinstance(entry, Module)]
        return f"{type(self).__name__}({', '.join(parts)})"

    def config(self) -> dict[str, Any]:
        """The arguments that build this module anew: attributes with the names of the parameters of `__init__`.

        ConfigError when there is no such attribute; override this method then.
        """
        if type(self).__init__ is object.__init__:
            return {}
        names = list(inspect.signature(type(self).__init__).parameters)[1:]
        for name in names:
            if not hasattr(self, name):
                raise ConfigError(f"{type(self).__name__}.config: expected an attribute {name!r}, as in __init__")
        return {name: getattr(self, name) for name in names}


def _walk_value(name: str, value: Any, above: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, (Tensor, Module)):
        yield name, value
    parts: Iterable[tuple[Any, Any]]
    if isinstance(value, Module):
        parts = vars(value).items()
    elif isinstance(value, (list, tuple)):
        parts = enumerate(value)
    elif isinstance(value, dict):
        parts = value.items()
    else:
        if isinstance(value, (set, frozenset)) and any(isinstance(entry, (Tensor, Module)) for entry in value):
            raise ConfigError(f"{name}: expected modules and tensors in a list or dict; got a set, which has no order")
        return
    if id(value) in above:
        raise ConfigError(f"{name}: expected modules within modules; got one that contains itself")
    for key, part in parts:
        yield from _walk_value(f"{name}.{key}" if name else str(key), part, (*above, id(value)))


def parameter(shape: tuple[int, ...], init: str | initialisers.Initialiser, decay: bool = True) -> Parameter:
    """A new float32 Parameter on the backend in use, drawn from the default generator."""
    values = initialisers.get(init)(shape, DEFAULT).astype(np.float32)
    place = backends.current()
    return Parameter(place.from_host(values), place, decay)
