"""Recurrent layers, and sequences for them, in float64."""

from __future__ import annotations

import numpy as np

import xpnn
from xpnn import nn

LAYERS = [nn.RNN, nn.LSTM, nn.GRU]
N, T, I, H = 4, 6, 3, 5


def series(n=N, t=T, seed=0):
    return xpnn.tensor(np.random.default_rng(seed).normal(size=(n, t, I)))


def wide(layer):
    return layer.astype("float64")


def close(a, b, atol=1e-13):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0, atol=atol)
