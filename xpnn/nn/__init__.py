"""Layers, models and initialisers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xpnn.errors import hint
from xpnn.nn import init
from xpnn.nn.attention import MultiHeadAttention
from xpnn.nn.call import watching
from xpnn.nn.config import build, describe
from xpnn.nn.conv import Conv1d, Conv2d, ConvTranspose2d
from xpnn.nn.dense import Dense
from xpnn.nn.embedding import Embedding
from xpnn.nn.gru import GRU
from xpnn.nn.layers import Activation, Dropout, Flatten, Sequential, SpatialDropout
from xpnn.nn.lstm import LSTM
from xpnn.nn.module import Module
from xpnn.nn.norm import BatchNorm, GroupNorm, LayerNorm
from xpnn.nn.pool import AvgPool1d, AvgPool2d, GlobalAvgPool, GlobalMaxPool, MaxPool1d, MaxPool2d, Upsample
from xpnn.nn.recurrent import State
from xpnn.nn.rnn import RNN

__all__ = [
    "GRU",
    "LSTM",
    "RNN",
    "Activation",
    "AvgPool1d",
    "AvgPool2d",
    "BatchNorm",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dense",
    "Dropout",
    "Embedding",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "LayerNorm",
    "MaxPool1d",
    "MaxPool2d",
    "Module",
    "MultiHeadAttention",
    "Sequential",
    "SpatialDropout",
    "State",
    "Upsample",
    "build",
    "describe",
    "init",
    "watching",
]

if not TYPE_CHECKING:  # to a type checker every name would be there

    def __getattr__(name):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint(name, __all__)}")
