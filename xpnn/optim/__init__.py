"""Optimizers over flat parameter arenas, and learning-rate schedules."""

from __future__ import annotations

from xpnn.optim import schedule
from xpnn.optim.methods import OPTIMIZERS, SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSProp, get
from xpnn.optim.optimizer import Optimizer
from xpnn.optim.schedule import Constant, Cosine, Plateau, Schedule, Step, WarmUp

__all__ = [
    "OPTIMIZERS",
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Constant",
    "Cosine",
    "Momentum",
    "Nesterov",
    "Optimizer",
    "Plateau",
    "RMSProp",
    "Schedule",
    "Step",
    "WarmUp",
    "get",
    "schedule",
]
