"""Training: the Trainer, callbacks, checkpoints."""

from __future__ import annotations

from xpnn.train.callback import Callback
from xpnn.train.callbacks import Checkpoint, CSVLog, EarlyStopping, StopOnRise
from xpnn.train.checkpoint import load, save
from xpnn.train.guard import FiniteGuard
from xpnn.train.history import History
from xpnn.train.trainer import Trainer

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "FiniteGuard",
    "History",
    "StopOnRise",
    "Trainer",
    "load",
    "save",
]
