"""Every error that xpnn raises on purpose: one line, saying what was expected, what came and the likely fix."""

from __future__ import annotations

from collections.abc import Iterable


class XpnnError(Exception):
    """The base of all of them: `except xpnn.XpnnError` catches what xpnn raises on purpose and nothing else."""


class ShapeError(XpnnError, ValueError):
    """Shapes that do not fit together."""


class DTypeError(XpnnError, TypeError):
    """An element type that an operation cannot take."""


class BackendError(XpnnError, RuntimeError):
    """An unknown or unusable backend, or arrays of two backends in one operation."""


class AutogradError(XpnnError, RuntimeError):
    """A backward pass that cannot be run: freed memory, changed weights, no graph."""


class DataError(XpnnError, ValueError):
    """A data file or array that is damaged, mislabelled or out of range."""


class CheckpointError(XpnnError, ValueError):
    """A checkpoint that cannot be written, read or applied to this model."""


class ConfigError(XpnnError, ValueError):
    """An unknown name or a setting out of range."""


class NumericError(XpnnError, ArithmeticError):
    """NaN or infinity where training needs finite numbers."""


class CaptureError(XpnnError, RuntimeError):
    """A training step that cannot be recorded or replayed."""


def unknown(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that is none of these, with the nearest one where there is one.

    >>> print(unknown("loss", "hubert", ["l1", "huber"]))
    loss 'hubert' is unknown; expected one of l1, huber. Did you mean 'huber'?
    """
    from difflib import get_close_matches  # only the unlucky need it

    names = list(known)
    near = get_close_matches(str(name), names, 1)
    hint = f". Did you mean {near[0]!r}?" if near else ""
    return ConfigError(f"{kind} {name!r} is unknown; expected one of {', '.join(names)}{hint}")
