"""Numbers as a reader wants them: three significant digits and a unit."""

from __future__ import annotations

from math import floor, log10

TIMES = ((1e-6, 1e9, "ns"), (1e-3, 1e6, "µs"), (1, 1e3, "ms"), (120, 1, "s"), (7200, 1 / 60, "min"))


def number(x: float) -> str:
    """
    >>> number(1234.5), number(0.1234), number(0.00001), number(9.996)
    ('1,234', '0.123', '0.00001', '10.0')
    """
    rounded = float(f"{x:.3g}")
    if not rounded:
        return "0"
    exact = x if abs(x) >= 1000 else rounded
    text = f"{exact:,.{max(0, 2 - floor(log10(abs(rounded))))}f}"
    return text.rstrip("0") if abs(rounded) < 0.1 else text


def duration(seconds: float) -> str:
    """
    >>> duration(1.5e-7), duration(0.00999999), duration(90.0), duration(36000.0)
    ('150 ns', '10.0 ms', '90.0 s', '10.0 h')
    """
    for below, scale, unit in TIMES:
        if seconds < below:
            return f"{number(seconds * scale)} {unit}"
    return f"{number(seconds / 3600)} h"


def percent(share: float) -> str:
    """
    >>> percent(0.004), percent(0.456), percent(1.2), percent(1e-6), percent(0.0)
    ('0.4 %', '46 %', '120 %', '<0.1 %', '0.0 %')
    """
    if 0 < share < 0.0005:
        return "<0.1 %"
    return f"{100 * share:.{1 if share < 0.01 else 0}f} %"


def times(ratio: float) -> str:
    """
    >>> times(1.0), times(0.25), times(12345)
    ('1.00×', '0.250×', '12,345×')
    """
    return f"{number(ratio)}×"
