"""Normalisation layers."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn import ops
from xpnn.core.tape import update
from xpnn.core.tensor import Tensor, tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.nn.module import Held, Module, parameter
from xpnn.ops.batch_norm import MOVING_AVERAGE
from xpnn.ops.group_norm import need_groups
from xpnn.ops.norm import need_eps
from xpnn.ops.window import need_size


class _Norm(Module):
    """A gain and a shift for every feature."""

    def __init__(self, features: int, eps: float) -> None:
        name = type(self).__name__
        self.features, self.eps = need_size(name, "features", features), need_eps(name, eps)
        self.gamma = parameter((features,), "ones", decay=False)
        self.beta = parameter((features,), "zeros", decay=False)

    @staticmethod
    def holds(**settings: Any) -> Held:
        shape = (settings["features"],)
        return {"gamma": ("parameter", shape), "beta": ("parameter", shape)}

    def need_features(self, x: Tensor) -> None:
        if not x.shape or x.shape[-1] != self.features:
            raise ShapeError(f"{type(self).__name__}: expected x (..., {self.features}); got {x.shape}")


class BatchNorm(_Norm):
    """Each channel of x (N, ..., features) with mean 0 and variance 1, then a gain and a shift: `xpnn.ops.batch_norm`.

    In training the mean and the variance are those of the batch, and the running ones (buffers, float32) follow them:
        running += momentum (batch - running)
    with the unbiased variance, R / (R - 1) times that of the R values, as in PyTorch. Evaluation takes the running
    ones. Ioffe and Szegedy, ICML 2015. ConfigError for settings out of range, ShapeError in forward, also in training
    with a single value in each channel.
    """

    def __init__(self, features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(features, eps)
        if not isinstance(momentum, (int, float)) or not 0 <= momentum <= 1:
            raise ConfigError(f"BatchNorm: expected momentum from 0 to 1; got {momentum!r}")
        self.momentum = momentum
        self.running_mean = tensor(np.zeros(features, np.float32))
        self.running_var = tensor(np.ones(features, np.float32))

    @staticmethod
    def holds(**settings: Any) -> Held:
        shape = (settings["features"],)
        return _Norm.holds(**settings) | {"running_mean": ("float32", shape), "running_var": ("float32", shape)}

    def forward(self, x: Tensor) -> Tensor:
        self.need_features(x)
        if not self.training:
            mean, var = self.running_mean.astype(x.dtype), self.running_var.astype(x.dtype)
            return ops.batch_norm_inference(x, self.gamma, self.beta, mean, var, self.eps)
        values = prod(x.shape[:-1])
        if values == 1:
            raise ShapeError(f"BatchNorm: expected several values in each channel to train on; got x {x.shape}")
        y, mean, var = ops.batch_norm(x, self.gamma, self.beta, self.eps)
        update(MOVING_AVERAGE, self.running_mean, mean, rate=self.momentum, factor=1.0)
        update(MOVING_AVERAGE, self.running_var, var, rate=self.momentum, factor=values / (values - 1))
        return y


class LayerNorm(_Norm):
    """Each row of x (..., features) with mean 0 and variance 1, then a gain and a shift: `xpnn.ops.layer_norm`.

    Ba, Kiros and Hinton, 2016. ConfigError for settings out of range, ShapeError in forward.
    """

    def __init__(self, features: int, eps: float = 1e-5) -> None:
        super().__init__(features, eps)

    def forward(self, x: Tensor) -> Tensor:
        self.need_features(x)
        return ops.layer_norm(x, self.gamma, self.beta, self.eps)


class GroupNorm(_Norm):
    """Groups of channels of each sample of x (N, ..., features) with mean 0 and variance 1: `xpnn.ops.group_norm`.

    Wu and He, ECCV 2018. ConfigError unless the groups divide the features, ShapeError in forward.
    """

    def __init__(self, features: int, groups: int, eps: float = 1e-5) -> None:
        super().__init__(features, eps)
        need_groups("GroupNorm", features, groups)
        self.groups = groups

    @staticmethod
    def holds(**settings: Any) -> Held:
        need_groups("GroupNorm", settings["features"], settings["groups"])
        return _Norm.holds(**settings)

    def forward(self, x: Tensor) -> Tensor:
        self.need_features(x)
        return ops.group_norm(x, self.gamma, self.beta, self.groups, self.eps)
