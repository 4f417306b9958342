"""Layers, models and initialisers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpnn.errors import hint
from xpnn.nn import init
from xpnn.nn.config import build, describe
from xpnn.nn.dense import Dense
from xpnn.nn.gru import GRU
from xpnn.nn.layers import Activation, Dropout, Flatten, Sequential
from xpnn.nn.lstm import LSTM
from xpnn.nn.module import Module, watching
from xpnn.nn.recurrent import State
from xpnn.nn.rnn import RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "Dense",
    "Dropout",
    "Flatten",
    "Module",
    "Sequential",
    "State",
    "build",
    "describe",
    "init",
    "watching",
]

if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint(name, __all__)}")
