"""Convolution layers: images (N, H, W, C) and sequences (N, T, C)."""

from __future__ import annotations

from typing import Any

from xpnn import ops
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError
from xpnn.nn import init as initialisers
from xpnn.nn.module import Held, Module, parameter
from xpnn.ops import window as windows
from xpnn.ops.activation import need_activation
from xpnn.ops.conv import need_groups


class _Conv(Module):
    """What the three layers share: the kernel, the bias and the settings that their op is called with."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        activation: str | None = None,
        bias: bool = True,
        init: str | initialisers.Initialiser | None = None,
    ) -> None:
        self.in_channels, self.out_channels, self.kernel_size = in_channels, out_channels, kernel_size
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.activation, self.bias = activation, bias
        self.init = init or initialisers.for_activation(activation)
        if activation != "step":
            need_activation(activation)
        self._check()
        held = self.holds(**vars(self))
        self.w = parameter(held["w"][1] or (), self.init)
        self.b = parameter(held["b"][1] or (), "zeros", decay=False) if bias else None

    def _check(self) -> None:
        """ConfigError for settings that no images can go with, before there are images."""
        name = type(self).__name__
        window, stride, dilation = (
            windows.need_pair(name, what, getattr(self, what)) for what in ("kernel_size", "stride", "dilation")
        )
        windows.need_padding(name, self.padding, window, window, stride, dilation)

    @classmethod
    def _channels(cls, settings: dict[str, Any]) -> tuple[int, int, int]:
        name = cls.__name__
        I, O, groups = (
            windows.need_size(name, what, settings[what]) for what in ("in_channels", "out_channels", "groups")
        )
        need_groups(name, I, groups, "in_channels")
        need_groups(name, O, groups, "out_channels")
        return I, O, groups

    @classmethod
    def _held(cls, shape: tuple[int, ...], settings: dict[str, Any]) -> Held:
        w: Held = {"w": ("parameter", shape)}
        return w | {"b": ("parameter", (settings["out_channels"],))} if settings["bias"] else w


class Conv2d(_Conv):
    """y = f(x * w + b), * the sum over a window at each pixel: x (N, H, W, in_channels), y (N, OH, OW, out_channels).

    kernel_size, stride, dilation  a number or (rows, columns)
    padding     with zeros: a number, (rows, columns), ((top, bottom), (left, right)), "valid" or "same"
    groups      so many parts of the channels that do not see each other
    activation  None, "step" or a name in `xpnn.ops.activation.ACTIVATIONS`, fused into the op
    bias        False leaves b out
    init        name of an initialiser or a function of `xpnn.nn.init`; default: He's before rectifiers, else Glorot's,
                both counting the whole window

    Parameters: w (KH, KW, in_channels / groups, out_channels), b (out_channels,). See `xpnn.ops.conv2d` for formulas
    and gradients. Raises ConfigError for settings out of range, ShapeError in forward.

    >>> from xpnn import nn
    >>> nn.Conv2d(1, 32, 3, activation="relu").w.shape
    (3, 3, 1, 32)
    """

    @staticmethod
    def holds(**settings: Any) -> Held:
        I, O, groups = Conv2d._channels(settings)
        window = windows.need_pair("Conv2d", "kernel_size", settings["kernel_size"])
        return Conv2d._held((*window, I // groups, O), settings)

    def forward(self, x: Tensor) -> Tensor:
        place = self.stride, self.padding, self.dilation, self.groups
        return ops.conv2d(x, self.w, self.b, *place, self.activation)


class Conv1d(_Conv):
    """`Conv2d` along one axis: x (N, T, in_channels), y (N, T', out_channels).

    w (K, in_channels / groups, out_channels), b (out_channels,).
    kernel_size, stride, dilation are numbers; padding is a number, (before, after), "valid" or "same". The other
    arguments and errors are those of `Conv2d`.
    """

    def _check(self) -> None:
        for what in ("kernel_size", "stride", "dilation"):
            windows.need_size("Conv1d", what, getattr(self, what))
        if not isinstance(self.padding, str):
            windows.need_pair("Conv1d", "padding", self.padding, 0)
        elif self.padding not in ("valid", "same"):
            raise ConfigError(f"Conv1d: expected padding 'same', 'valid', a number or a pair; got {self.padding!r}")

    @staticmethod
    def holds(**settings: Any) -> Held:
        I, O, groups = Conv1d._channels(settings)
        size = windows.need_size("Conv1d", "kernel_size", settings["kernel_size"])
        return Conv1d._held((size, I // groups, O), settings)

    def forward(self, x: Tensor) -> Tensor:
        place = self.stride, self.padding, self.dilation, self.groups
        return ops.conv1d(x, self.w, self.b, *place, self.activation)


class ConvTranspose2d(_Conv):
    """The transpose of `Conv2d`, which makes images larger: x (N, H, W, in_channels), y (N, OH, OW, out_channels).

    OH = (H - 1) stride - top - bottom + (kernel_size - 1) dilation + 1 + output_padding. padding takes pixels away
    here, and is a number or pairs. output_padding, below the stride, says which of the sizes is meant that the
    convolution makes H of. w (KH, KW, in_channels, out_channels / groups). The rest is as in `Conv2d`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        activation: str | None = None,
        bias: bool = True,
        init: str | initialisers.Initialiser | None = None,
    ) -> None:
        self.output_padding = output_padding
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, activation, bias, init
        )

    def _check(self) -> None:
        super()._check()
        if isinstance(self.padding, str):
            raise ConfigError(f"ConvTranspose2d: expected padding as a number or pairs; got {self.padding!r}")
        extra = windows.need_pair("ConvTranspose2d", "output_padding", self.output_padding, 0)
        stride = windows.need_pair("ConvTranspose2d", "stride", self.stride)
        if any(more >= s for more, s in zip(extra, stride, strict=True)):
            raise ConfigError(f"ConvTranspose2d: expected output_padding below the stride {stride}; got {extra}")

    @staticmethod
    def holds(**settings: Any) -> Held:
        I, O, groups = ConvTranspose2d._channels(settings)
        window = windows.need_pair("ConvTranspose2d", "kernel_size", settings["kernel_size"])
        return ConvTranspose2d._held((*window, I, O // groups), settings)

    def forward(self, x: Tensor) -> Tensor:
        place = self.stride, self.padding, self.output_padding, self.dilation, self.groups
        return ops.conv_transpose2d(x, self.w, self.b, *place, self.activation)
