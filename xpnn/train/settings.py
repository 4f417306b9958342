"""What makes a training this one and no other, as plain data: by this a resumed run knows its own."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn import nn
from xpnn.core.precision import current_precision
from xpnn.core.tensor import Tensor
from xpnn.data.dataset import Dataset
from xpnn.errors import ConfigError
from xpnn.optim import Schedule

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer

HASHED_BYTES = 1 << 26
"""Of an array with more than this, evenly spaced rows stand for all: a checkpoint should not wait for gigabytes."""


def settings(trainer: Trainer) -> dict[str, Any]:
    """What makes a training this one and no other. What differs first is what an error names: the network comes before
    a learning rate that was chosen for it."""
    optimizer, loss = trainer.optimizer, trainer.loss
    clips = {"clip_value": optimizer.clip_value, "clip_norm": optimizer.clip_norm}
    options = {str(i): value for i, value in enumerate(getattr(loss, "args", ()))} | getattr(loss, "keywords", {})
    return {
        "optimizer": type(optimizer).__name__,
        "loss": _name(loss),
        "model": _setting(nn.describe(trainer.model)),
        "seed": trainer.seed,
        "base_lr": trainer._base_lr,
        "optimizer_settings": _setting({**optimizer.attrs, **clips}),
        "loss_options": _setting(options),
        "schedule": _setting(trainer.schedule),
        "metrics": [metric.name for metric in trainer.metrics],
        "precision": current_precision(),
    }


def fingerprints(train: Dataset, validation: Dataset | None) -> dict[str, str | None]:
    """A line for each data set that is another one for other samples or another order of them."""
    return {"data": _fingerprint(train), "validation": None if validation is None else _fingerprint(validation)}


def _fingerprint(data: Dataset) -> str:
    digest = hashlib.sha256()
    for a in (data.x, data.y):
        digest.update(f"{a.dtype.str} {a.shape};".encode())
        digest.update(np.ascontiguousarray(a[:: -(-a.nbytes // HASHED_BYTES)]).data)
    return digest.hexdigest()[:16]


def plain(value: Any, owner: str) -> Any:
    """The value as JSON has it, NumPy's numbers as Python's; ConfigError for what JSON does not have."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple)):
        return [plain(entry, owner) for entry in value]
    if isinstance(value, dict) and all(isinstance(key, str) for key in value):
        return {key: plain(entry, owner) for key, entry in value.items()}
    hint = ". Arrays belong in `arrays`" if isinstance(value, np.ndarray) else ""
    raise ConfigError(f"{owner}: expected numbers, text, lists and dicts of them; got {type(value).__name__}{hint}")


def _setting(value: Any) -> Any:
    """A schedule by its type and attributes, an array by its digest, a function by its name."""
    if isinstance(value, Schedule):
        remembered = value.state()
        own = {k: v for k, v in vars(value).items() if not k.startswith("_") and k not in remembered}
        return {"type": type(value).__name__, **_setting(own)}
    if isinstance(value, dict):
        return {str(key): _setting(entry) for key, entry in value.items()}
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return hashlib.sha256(np.ascontiguousarray(value).data).hexdigest()[:16]
    try:
        return plain(value, "setting")
    except ConfigError:
        return _name(value)


def _name(function: Any) -> str:
    """What a loss is called, whatever options it was given by `partial`."""
    return getattr(getattr(function, "func", function), "__name__", type(function).__name__)
