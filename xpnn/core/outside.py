"""What a function or module reads from around it: numbers and text by value, everything else by which object it is.

A look goes into lists, dicts and plain objects of up to MOST entries, a few levels deep. It stops at what is our own or
says itself what matters of it (`reports = True`: modules, optimizers), and at functions and classes.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any

import numpy as np

DEPTH = 4
MOST = 64

_PLAIN = (bool, int, float, complex, str, bytes, np.generic)


def same(before: list[Any], now: list[Any]) -> bool:
    """Did two looks see the same? What is no number or text is compared by identity: `before` keeps it alive."""
    if len(before) != len(now):
        return False
    for a, b in zip(before, now, strict=True):
        if a is not b and not (isinstance(a, _PLAIN) and type(a) is type(b) and a == b):
            return False
    return True


def around(function: Any) -> Callable[[], list[Any]]:
    """A look at what a function reads: its variables from outside, defaults, globals, and the object it belongs to."""
    return lambda: list(_function(function, DEPTH))


def within(values: Iterable[Any]) -> list[Any]:
    """A look at some values."""
    return [seen for value in values for seen in _look(value, DEPTH)]


def randomness() -> Any:
    """Where the random numbers of Python and NumPy are that belong to nobody."""
    return random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - the generator that others use


def _function(function: Any, depth: int) -> Iterator[Any]:
    while isinstance(function, partial):
        yield from _each((*function.args, *function.keywords.values()), depth)
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is not None:
        yield from _look(owner, depth)
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function):
        yield from _look(function, depth)
        return
    if _ours(function):
        return
    known = function.__globals__
    cells = [cell.cell_contents for cell in function.__closure__ or ()]
    yield from _each(cells, depth)
    yield from _each((*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()), depth)
    yield from _each([known[name] for name in function.__code__.co_names if name in known], depth)


def _ours(thing: Any) -> bool:
    return str(thing.__module__).startswith("xpnn.")


def _each(values: Iterable[Any], depth: int) -> Iterator[Any]:
    for value in values:
        yield from _look(value, depth)


def _look(value: Any, depth: int) -> Iterator[Any]:
    yield value
    if isinstance(value, _PLAIN) or depth == 0 or _ours(type(value)) or getattr(value, "reports", False) is True:
        return
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        yield len(value)
        if len(value) <= MOST:
            yield from _each([*value, *(value.values() if isinstance(value, dict) else ())], depth - 1)
    elif isinstance(value, np.random.Generator):
        yield repr(value.bit_generator.state)
    elif isinstance(value, random.Random):
        yield repr(value.getstate())
    elif isinstance(getattr(value, "__self__", None), (np.random.Generator, random.Random)):
        yield from _look(value.__self__, depth - 1)
    elif not (inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)):
        yield from _each(list(getattr(value, "__dict__", {}).values()), depth - 1)
