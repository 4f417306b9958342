"""Optimizers over flat parameter arenas, and learning-rate schedules."""

from __future__ import annotations

from xpnn.optim import schedule
from xpnn.optim.methods import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSProp
from xpnn.optim.optimizer import Optimizer
from xpnn.optim.schedule import Constant, Cosine, Plateau, Schedule, Step, WarmUp

__all__ = [
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
    "schedule",
]
