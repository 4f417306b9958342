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


SYNONYMS = {
    "learning_rate": "lr",
    "acc": "accuracy",
    "mse": "mean_squared_error",
    "mae": "l1",
    "bce": "binary_cross_entropy",
    "nll": "cross_entropy",
    "swish": "silu",
    "linear": "Dense",
    "fullyconnected": "Dense",
    "gpu": "cupy",
    "float16": "fp16",
    "bfloat16": "bf16",
    "xavier": "glorot_uniform",
    "kaiming": "he_uniform",
}
"""What other libraries call it, where no likeness of names leads to ours."""


def hint(name: object, known: Iterable[str]) -> str:
    """What may have been meant by a name that is none of these, as the end of a message; "" where nothing is near.

    >>> hint("hubert", ["l1", "huber"]), hint("learning_rate", ["lr"]), hint("xyz", ["lr"])
    (". Did you mean 'huber'?", ". Did you mean 'lr'?", '')
    """
    from difflib import get_close_matches  # only the unlucky need it

    known = list(known)
    synonym = SYNONYMS.get(str(name).lower())
    near = [synonym] if synonym in known else get_close_matches(str(name), known, 1)
    return f". Did you mean {near[0]!r}?" if near else ""


def unknown(kind: str, name: object, known: Iterable[str]) -> ConfigError:
    """The error for a name that is none of these, with what may have been meant.

    >>> print(unknown("loss", "hubert", ["l1", "huber"]))
    loss 'hubert' is unknown; expected one of l1, huber. Did you mean 'huber'?
    """
    names = list(known)
    return ConfigError(f"{kind} {name!r} is unknown; expected one of {', '.join(names)}{hint(name, names)}")
