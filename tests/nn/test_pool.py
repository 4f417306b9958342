"""Pooling layers are their ops; what they refuse, they refuse when they are made."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.errors import ConfigError

X = np.random.default_rng(0).standard_normal((2, 6, 7, 3)).astype(np.float32)


@pytest.mark.parametrize(
    ("layer", "x", "op"),
    [
        (nn.MaxPool2d((3, 2), 2, "same"), X, lambda x: ops.max_pool2d(x, (3, 2), 2, "same")),
        (nn.AvgPool2d(2), X, lambda x: ops.avg_pool2d(x, 2)),
        (nn.MaxPool1d(2, 1), X[0], lambda x: ops.max_pool1d(x, 2, 1)),
        (nn.AvgPool1d(3, padding=(1, 0)), X[0], lambda x: ops.avg_pool1d(x, 3, padding=(1, 0))),
        (nn.GlobalMaxPool(), X, ops.global_max_pool),
        (nn.GlobalAvgPool(), X, ops.global_avg_pool),
        (nn.Upsample((2, 3), "bilinear"), X, lambda x: ops.upsample2d(x, (2, 3), "bilinear")),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_layer_is_its_op(layer, x, op):
    np.testing.assert_array_equal(layer(x).numpy(), op(xpnn.tensor(x)).numpy())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.MaxPool2d(0), "MaxPool2d: expected window >= 1; got 0"),
        (lambda: nn.AvgPool2d(2, (1, 0)), r"AvgPool2d: expected stride >= 1; got 0"),
        (lambda: nn.MaxPool1d(2, padding="some"), "MaxPool1d: expected padding 'same', 'valid', a number or pairs"),
        (lambda: nn.Upsample(0), "Upsample: expected factor >= 1; got 0"),
        (lambda: nn.Upsample(2, "linear"), "'bilinear'"),
    ],
)
def test_settings_out_of_range(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_a_step_trains_through_them():
    with xpnn.use("numba"):
        model = nn.Sequential(nn.MaxPool2d(2), nn.Upsample(2), nn.AvgPool2d(3, 1), nn.GlobalAvgPool(), nn.Dense(3, 2))
        xpnn.losses.cross_entropy(model(X), np.array([0, 1])).backward()
        assert np.isfinite(model[4].w.grad.numpy()).all()
