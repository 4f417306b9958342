"""Layers, models and initialisers."""

from __future__ import annotations

from xpnn.nn import init
from xpnn.nn.config import build, describe
from xpnn.nn.dense import Dense
from xpnn.nn.layers import Activation, Dropout, Flatten, Sequential
from xpnn.nn.module import Module, watching

__all__ = ["Activation", "Dense", "Dropout", "Flatten", "Module", "Sequential", "build", "describe", "init", "watching"]
