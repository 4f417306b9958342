"""Activations on Numba: one kernel for all, by code."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn.ops.activation import ACTIVATIONS
from xpnn_kernels.numba import activation as kernels
from xpnn_kernels.numba import threads as pool

SPLIT = 1 << 15
"""Elements above which they are shared among threads."""


def run(kernel, code, number, *arrays):
    flat = [array.reshape(-1) for array in arrays]
    kernel(pool.threads(flat[0].size, SPLIT), code, number, *flat)


def _bind(name: str) -> Override:
    code = kernels.CODES[name]
    reads_x = ACTIVATIONS[name].reads == "x"

    def forward(outs, saved, x, **attrs):
        run(kernels.forward, code, parameter(name, attrs), x, outs[0])

    def backward(dins, douts, kept, **attrs):
        source = kept.inputs[0] if reads_x else kept.outs[0]
        run(kernels.backward, code, parameter(name, attrs), source, douts[0], dins[0])

    return Override(forward, backward)


def fused(name: str | None) -> bool:
    """May a kernel that convolves do this one as it goes? Others come after it, or before its gradient."""
    return name is None or name == "relu"


def after(name, z, y):
    """y = f(z), unless it is `fused`; z and y may be one array."""
    if not fused(name):
        run(kernels.forward, kernels.CODES[name], parameter(name, {}), z, y)


def before(name, kept, dy, dz):
    """(dz, False) with dz = dy f'(z); (dy, is dz to be masked by y > 0) where it is `fused`, and dz is not needed."""
    if fused(name):
        return dy, name == "relu"
    run(kernels.backward, kernels.CODES[name], parameter(name, {}), kept, dy, dz)
    return dz, False


def parameter(name: str | None, attrs: dict[str, float]) -> float:
    """The one number that some activations take; layers that fuse an activation use its default."""
    defaults = {"leaky_relu": 0.01, "elu": 1.0}
    return next(iter(attrs.values()), defaults.get(name or "", 0.0))


OVERRIDES = {name: _bind(name) for name in ACTIVATIONS}
