"""Activations on Numba: one kernel for all, by code."""

from __future__ import annotations

from xpnn.core.contract import Override
from xpnn.ops.activation import ACTIVATIONS
from xpnn_kernels.numba import activation as kernels


def _bind(name: str) -> Override:
    code = kernels.CODES[name]
    reads_x = ACTIVATIONS[name].reads == "x"

    def forward(outs, saved, x, **attrs):
        kernels.forward(code, parameter(name, attrs), x.reshape(-1), outs[0].reshape(-1))

    def backward(dins, douts, kept, **attrs):
        source = kept.inputs[0] if reads_x else kept.outs[0]
        kernels.backward(code, parameter(name, attrs), source.reshape(-1), douts[0].reshape(-1), dins[0].reshape(-1))

    return Override(forward, backward)


def parameter(name: str | None, attrs: dict[str, float]) -> float:
    """The one number that some activations take; layers that fuse an activation use its default."""
    defaults = {"leaky_relu": 0.01, "elu": 1.0}
    return next(iter(attrs.values()), defaults.get(name or "", 0.0))


OVERRIDES = {name: _bind(name) for name in ACTIVATIONS}
