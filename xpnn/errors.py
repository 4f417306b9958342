"""Every error that xpnn raises on purpose: one line, saying what was expected, what came and the likely fix."""

from __future__ import annotations


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
