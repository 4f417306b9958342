"""Windows over the two spatial axes of images: what users may write for them, and how many there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xpnn.core.arithmetic import need_whole
from xpnn.core.op import Array, Namespace
from xpnn.errors import ConfigError, ShapeError

Pair = tuple[int, int]
Padding = tuple[Pair, Pair]
"""((top, bottom), (left, right))."""

LIMIT = 1 << 31
"""Below it are all sizes, so that products of two of them are numbers of 64 bits."""


def need_size(name: str, what: str, value: Any, least: int = 1) -> int:
    """A whole number; ConfigError below `least` and from LIMIT on."""
    size = need_whole(f"{name}: {what}", value)
    if size < least:
        raise ConfigError(f"{name}: expected {what} >= {least}; got {value!r}")
    if size >= LIMIT:
        raise ConfigError(f"{name}: expected {what} < 2**31; got {value!r}")
    return size


def need_pair(name: str, what: str, value: Any, least: int = 1) -> Pair:
    """A number for both axes, or a pair (rows, columns); ConfigError below `least`."""
    both = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(both) != 2:
        raise ConfigError(f"{name}: expected {what} as a number or a pair; got {value!r}")
    return need_size(name, what, both[0], least), need_size(name, what, both[1], least)


def need_padding(name: str, padding: Any, sizes: Pair, window: Pair, stride: Pair, dilation: Pair = (1, 1)) -> Padding:
    """The padding of images of these sizes, as numbers.

    padding: "valid" (none), "same" (as many windows as fit with one at every stride-th pixel: ceil(size / stride), the
    odd pixel at the end), a number, a pair (rows, columns), or a pair of pairs ((top, bottom), (left, right)).
    """
    if isinstance(padding, str):
        if padding not in ("valid", "same"):
            raise ConfigError(f"{name}: expected padding 'same', 'valid', a number or pairs; got {padding!r}")
        if padding == "valid":
            return (0, 0), (0, 0)
        sides = []
        for size, k, s, d in zip(sizes, window, stride, dilation, strict=True):
            total = max((-(-size // s) - 1) * s + (k - 1) * d + 1 - size, 0)
            sides.append((total // 2, total - total // 2))
        return sides[0], sides[1]
    if isinstance(padding, (tuple, list)) and any(isinstance(side, (tuple, list)) for side in padding):
        if len(padding) != 2:
            raise ConfigError(f"{name}: expected padding ((top, bottom), (left, right)); got {padding!r}")
        return need_pair(name, "padding", padding[0], 0), need_pair(name, "padding", padding[1], 0)
    rows, columns = need_pair(name, "padding", padding, 0)
    return (rows, rows), (columns, columns)


def count(name: str, sizes: Pair, window: Pair, stride: Pair, padding: Padding, dilation: Pair = (1, 1)) -> Pair:
    """The numbers of windows (OH, OW); ShapeError where not one fits."""
    spans = [(k - 1) * d + 1 for k, d in zip(window, dilation, strict=True)]
    padded = [size + sum(sides) for size, sides in zip(sizes, padding, strict=True)]
    if any(whole < span for whole, span in zip(padded, spans, strict=True)):
        raise ShapeError(
            f"{name}: expected images of at least {spans[0]} x {spans[1]} pixels with their padding; got "
            f"{padded[0]} x {padded[1]}. Use a smaller window or more padding"
        )
    rows, columns = ((whole - span) // s + 1 for whole, span, s in zip(padded, spans, stride, strict=True))
    return rows, columns


def reaching(sizes: Pair, counts: Pair, window: Pair, stride: Pair, padding: Padding) -> tuple[Pair, Padding]:
    """The smallest window and padding with which so many windows see the same pixels: a window may be far larger than
    the image. The elements of a window have other numbers then."""
    windows, sides = [], []
    for n, times, k, s, (before, _) in zip(sizes, counts, window, stride, padding, strict=True):
        last = (times - 1) * s
        start, end = min(before, last), min(k - before, n)
        windows.append(start + end)
        sides.append((start, max(last + end - n, 0)))
    return (windows[0], windows[1]), (sides[0], sides[1])


def pad(xp: Namespace, x: Array, padding: Padding, value: float) -> Array:
    """x with a border of `value`."""
    (top, bottom), (left, right) = padding
    N, H, W, C = x.shape
    padded = xp.full((N, top + H + bottom, left + W + right, C), value, dtype=x.dtype)
    padded[:, top : top + H, left : left + W, :] = x
    return padded


def elements(
    window: Pair, counts: Pair, stride: Pair, dilation: Pair = (1, 1)
) -> Iterator[tuple[int, int, tuple[slice, ...]]]:
    """For each element (i, j) of the window, row by row: where in the padded image it is, for all windows."""
    for i in range(window[0]):
        for j in range(window[1]):
            rows, columns = (
                slice(k * d, k * d + (n - 1) * s + 1, s)
                for k, n, s, d in zip((i, j), counts, stride, dilation, strict=True)
            )
            yield i, j, (slice(None), rows, columns, slice(None))
