"""Convolution in groups of few channels on CUDA: depthwise, and what is near it."""

from __future__ import annotations

from xpnn.backends.cupy.conv_shape import Shape
from xpnn.backends.cupy.module import REAL, Source

SOURCE = Source("conv_direct", {"direct": (REAL, ("false", "true")), "direct_weights": (REAL,)})
ROWS, COLUMNS = 5, 32
"""Of the gradient of the weights in a block."""
BLOCKS = 528
"""As many of them as may well be at work at once, each on a share of the pixels."""


def tiles(shape: Shape) -> int:
    return -(-(shape.taps + 1) // ROWS) * -(-shape.O // COLUMNS)
