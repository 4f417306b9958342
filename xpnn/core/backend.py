"""Which backend: `get` finds one by name, `use` says where new tensors and models are made."""

from __future__ import annotations

import importlib
import importlib.util
import threading
from contextvars import ContextVar, Token
from typing import Any

from xpnn.core.contract import Backend
from xpnn.errors import BackendError, hint

BUILT_IN = ("numpy", "numba", "cupy")
_instances: dict[tuple[str, int], Backend] = {}
_creating = threading.RLock()  # two threads must not make two of one backend; a factory may ask for another one


def _outside() -> dict[str, Any]:
    """The backends of installed packages: entry points by name."""
    from importlib.metadata import entry_points  # 25 ms that `import xpnn` need not spend

    return {point.name: point for point in entry_points(group="xpnn.backends")}


def names() -> list[str]:
    """Every backend there is a name for: the built-in ones and those of installed packages."""
    return [*BUILT_IN, *sorted(_outside())]


def get(name: str | Backend) -> Backend:
    """The backend of this name.

    name: "numpy", "numba", "cupy" / "cuda" / "cuda:1", "cpu" (numba where it is installed, else numpy), "auto"
    (CUDA when a device answers, else as "cpu"; where `xpnn bench` has measured this machine, what it found to be the
    fastest), or a name that another package brings by the entry point `xpnn.backends`. Raises BackendError, naming the
    fix, when there is none or it cannot be used here.
    """
    if isinstance(name, Backend):
        return name
    stem, _, number = str(name).partition(":")
    if number and not (number.isdecimal() and stem in ("cuda", "cupy")):
        raise BackendError(f"backend {name!r}: expected NAME or cuda:NUMBER, as in 'cuda:1'")
    if stem == "auto":
        from xpnn.core import measured  # its libraries are only for those who ask

        return _first(*measured.kept()[0], "cupy", "numba", "numpy")
    if stem == "cpu":
        return _first("numba", "numpy")
    key = ("cupy" if stem == "cuda" else stem, int(number or 0))
    if key not in _instances:
        with _creating:
            if key not in _instances:
                _instances[key] = _create(*key)
    return _instances[key]


def created() -> list[Backend]:
    """The backends that this process has asked for so far."""
    return list(_instances.values())


def usable() -> tuple[list[Backend], dict[str, str]]:
    """The backends that can be used here, and why the others cannot, by name."""
    found, why_not = [], {}
    for name in names():
        try:
            found.append(get(name))
        except BackendError as error:
            why_not[name] = str(error)
    return found, why_not


def _first(*candidates: str) -> Backend:
    for candidate in candidates[:-1]:
        # find_spec first: importing a library only to learn that it is absent costs its whole path search.
        if candidate in ("numba", "cupy") and importlib.util.find_spec(candidate) is None:
            continue
        try:
            return get(candidate)
        except BackendError:
            continue
    return get(candidates[-1])


def _create(stem: str, index: int) -> Backend:
    if stem in BUILT_IN:
        return importlib.import_module(f"xpnn.backends.{stem}").create(index)
    outside = _outside()
    if stem in outside:
        return outside[stem].load()(index)
    known = [*names(), "cpu", "cuda:N", "auto"]
    meant = hint(stem, known)
    raise BackendError(f"backend {stem!r} is unknown; expected one of {', '.join(known)}{meant}")


# The backend in use ---------------------------------------------------------------------------------------

_uses: list[use] = []  # those that speak for the whole process, the last one first
_scoped: ContextVar[Backend | None] = ContextVar("xpnn_backend", default=None)


def current() -> Backend:
    """Where new tensors and models are made now."""
    scoped = _scoped.get()
    if scoped is not None:
        return scoped
    last = _uses[-1:]  # one step, so that no other thread can empty the list in between
    return last[0].backend if last else get("numpy")


class use:
    """`use("numba")` from here on in the whole process; `with use("numba"):` inside the block and its thread.

    It says where NEW tensors and models are made. Those that exist stay where they are until `.to()` moves them.

    >>> import xpnn
    >>> with xpnn.use("numpy"):
    ...     xpnn.tensor([1.0, 2.0]).backend
    <backend numpy>
    """

    def __init__(self, name: str | Backend) -> None:
        self.backend = get(name)
        self._tokens: list[Token[Backend | None]] = []
        _uses.append(self)
        del _uses[:-64]  # only the last counts; the others wait for a `with` that may follow in their threads

    def __enter__(self) -> Backend:
        if self in _uses:  # not for the process after all
            _uses.remove(self)
        self._tokens.append(_scoped.set(self.backend))
        return self.backend

    def __exit__(self, *_: object) -> None:
        _scoped.reset(self._tokens.pop())
