"""Pooling and upsampling layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.nn.module import Module
from xpnn.ops.upsample import need_mode
from xpnn.ops.window import Pair, need_padding, need_pair, need_size


class _Pool2d(Module):
    pool: ClassVar[Callable[..., Tensor]]

    def __init__(self, window: int | Pair, stride: int | Pair | None = None, padding: Any = 0) -> None:
        name = type(self).__name__
        both = need_pair(name, "window", window)
        steps = both if stride is None else need_pair(name, "stride", stride)
        need_padding(name, padding, both, both, steps)
        self.window, self.stride, self.padding = window, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return type(self).pool(x, self.window, self.stride, self.padding)


class MaxPool2d(_Pool2d):
    """The largest of every window of x (N, H, W, C), channel by channel: `xpnn.ops.max_pool2d`.

    window, stride (the window by default): a number or (rows, columns); padding: a number, (rows, columns),
    ((top, bottom), (left, right)), "valid" or "same". ConfigError for settings out of range, ShapeError in forward.
    """

    pool = staticmethod(ops.max_pool2d)


class AvgPool2d(_Pool2d):
    """The mean of every window, without its padding: `xpnn.ops.avg_pool2d`. Arguments as in `MaxPool2d`."""

    pool = staticmethod(ops.avg_pool2d)


class _Pool1d(Module):
    pool: ClassVar[Callable[..., Tensor]]

    def __init__(self, window: int, stride: int | None = None, padding: Any = 0) -> None:
        name = type(self).__name__
        size = need_size(name, "window", window)
        step = size if stride is None else need_size(name, "stride", stride)
        need_padding(name, padding, (size, size), (size, size), (step, step))
        self.window, self.stride, self.padding = window, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return type(self).pool(x, self.window, self.stride, self.padding)


class MaxPool1d(_Pool1d):
    """The largest of every window of x (N, T, C). padding: a number, (before, after), "valid" or "same"."""

    pool = staticmethod(ops.max_pool1d)


class AvgPool1d(_Pool1d):
    """The mean of every window of x (N, T, C), without its padding. Arguments as in `MaxPool1d`."""

    pool = staticmethod(ops.avg_pool1d)


class GlobalMaxPool(Module):
    """(N, ..., C) to (N, C): the largest over all axes between."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_max_pool(x)


class GlobalAvgPool(Module):
    """(N, ..., C) to (N, C): the mean over all axes between. Lin, Chen and Yan, ICLR 2014."""

    def forward(self, x: Tensor) -> Tensor:
        return ops.global_avg_pool(x)


class Upsample(Module):
    """Images (N, H, W, C) a whole number of times as high and wide: `xpnn.ops.upsample2d`.

    factor: a number or (rows, columns); mode: "nearest" or "bilinear". ConfigError for others.
    """

    def __init__(self, factor: int | Pair, mode: str = "nearest") -> None:
        need_pair("Upsample", "factor", factor)
        need_mode(mode)
        self.factor, self.mode = factor, mode

    def forward(self, x: Tensor) -> Tensor:
        return ops.upsample2d(x, self.factor, self.mode)
