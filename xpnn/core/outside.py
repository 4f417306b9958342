"""What a function or module reads from around it: numbers and text by value, everything else by which object it is.

A look goes into lists, dicts and plain objects of up to MOST entries, a few levels deep. It stops at what is our own or
says itself what matters of it (`reports = True`: modules, optimizers), and at functions and classes.
"""

from __future__ import annotations

import inspect
import random
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain, repeat
from operator import attrgetter, call, is_
from typing import Any

import numpy as np

DEPTH = 4
MOST = 64

_PLAIN = (bool, int, float, complex, str, bytes, np.generic)
_ABSENT = object()
_END = (object(),)

Places = list[tuple[Callable[[], Iterable[Any]], tuple[Any, ...]]]
"""Where a look went: how to read what is there, and what was there."""


class Look:
    """What a look saw, and whether that is still so.

    Most of the time nothing has changed at all. So it is asked first whether each place holds the very objects that it
    held: one pass without Python of our own, in a twentieth of the time of another look.
    """

    def __init__(self, walk: Callable[[Places], Iterator[Any]]) -> None:
        self._walk = walk
        places: Places = []
        self.seen = list(walk(places))
        self._keep(places)

    def _keep(self, places: Places) -> None:
        """An end behind each place: one that is shorter or longer now differs there."""
        self._readers = [reader for read, _ in places for reader in (read, _END.__iter__)]
        self._held = [value for _, held in places for value in (*held, *_END)]

    def same(self) -> bool:
        """Would a look see the same again?"""
        try:
            if all(map(is_, chain.from_iterable(map(call, self._readers)), self._held)):
                return True
        except ValueError:  # a variable of a closure has no value any more
            pass
        places: Places = []
        if not same(self.seen, list(self._walk(places))):
            return False
        self._keep(places)
        return True


def _read(places: Places, read: Callable[[], Iterable[Any]]) -> tuple[Any, ...]:
    """What is at a place, which is remembered."""
    held = tuple(read())
    places.append((read, held))
    return held


def same(before: list[Any], now: list[Any]) -> bool:
    """Did two looks see the same? What is no number or text is compared by identity: `before` keeps it alive."""
    if len(before) != len(now):
        return False
    for a, b in zip(before, now, strict=True):
        if a is not b and not (isinstance(a, _PLAIN) and type(a) is type(b) and a == b):
            return False
    return True


def around(function: Any) -> Look:
    """A look at what a function reads: its variables from outside, defaults, globals, and the object it belongs to."""
    return Look(lambda places: _function(function, DEPTH, places))


def within(values: Callable[[], Iterable[Any]]) -> Look:
    """A look at some values."""
    return Look(lambda places: _each(_read(places, values), DEPTH, places))


def randomness() -> Any:
    """Where the random numbers of Python and NumPy are that belong to nobody."""
    return random.getstate(), repr(np.random.get_state())  # noqa: NPY002 - the generator that others use


def _function(function: Any, depth: int, places: Places) -> Iterator[Any]:
    while isinstance(function, partial):
        yield from _each(_read(places, partial(_arguments, function)), depth, places)
        function = function.func
    owner = getattr(function, "__self__", None)
    if owner is not None:
        yield from _look(owner, depth, places)
    function = getattr(function, "__func__", function)
    if not inspect.isfunction(function):
        yield from _look(function, depth, places)
        return
    if _ours(function):
        return
    yield from _each(_cells(places, function.__closure__ or ()), depth, places)
    defaults = _read(places, partial(attrgetter("__defaults__", "__kwdefaults__"), function))
    yield from _each(defaults, depth + 1, places)
    known = partial(map, function.__globals__.get, function.__code__.co_names, repeat(_ABSENT))
    yield from _each([value for value in _read(places, known) if value is not _ABSENT], depth, places)


def _cells(places: Places, closure: tuple[Any, ...]) -> tuple[Any, ...]:
    """What is in the variables of a closure."""
    try:
        return _read(places, partial(map, attrgetter("cell_contents"), closure))
    except ValueError:  # one was deleted, or has no value yet
        return _read(places, lambda: [_content(cell) for cell in closure])


def _content(cell: Any) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return _ABSENT


def _arguments(function: partial[Any]) -> tuple[Any, ...]:
    return (*function.args, *function.keywords.values())


def _ours(thing: Any) -> bool:
    return str(thing.__module__).startswith("xpnn.")


def _each(values: Iterable[Any], depth: int, places: Places) -> Iterator[Any]:
    for value in values:
        yield from _look(value, depth, places)


def _look(value: Any, depth: int, places: Places) -> Iterator[Any]:
    yield value
    if isinstance(value, _PLAIN) or depth == 0 or _ours(type(value)) or getattr(value, "reports", False) is True:
        return
    if isinstance(value, (list, tuple, set, frozenset, dict)):
        yield len(value)
        if len(value) > MOST:
            _read(places, lambda: (repr(len(value)),))  # a new text each time: always looked at
            return
        if isinstance(value, tuple):  # has what it has
            yield from _each(value, depth - 1, places)
            return
        if isinstance(value, dict):
            yield from _each(_read(places, value.keys), depth - 1, places)
        yield from _each(_read(places, value.values if isinstance(value, dict) else value.__iter__), depth - 1, places)
    elif isinstance(value, np.random.Generator):
        yield from _read(places, lambda: (repr(value.bit_generator.state),))  # a new text each time: always looked at
    elif isinstance(value, random.Random):
        yield from _read(places, lambda: (repr(value.getstate()),))
    elif isinstance(getattr(value, "__self__", None), (np.random.Generator, random.Random)):
        yield from _look(value.__self__, depth - 1, places)
    elif hasattr(value, "__dict__") and not (
        inspect.isroutine(value) or inspect.isclass(value) or inspect.ismodule(value)
    ):
        yield from _each(_read(places, value.__dict__.values), depth - 1, places)
