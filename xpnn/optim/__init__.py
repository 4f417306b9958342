"""Optimizers over flat parameter arenas, and learning-rate schedules."""

from __future__ import annotations

from xpnn.optim.methods import SGD, AdaGrad, Adam, AdamW, Momentum, Nesterov, RMSProp
from xpnn.optim.optimizer import Optimizer

__all__ = ["SGD", "AdaGrad", "Adam", "AdamW", "Momentum", "Nesterov", "Optimizer", "RMSProp"]
