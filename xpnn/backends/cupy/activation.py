"""Activations on CUDA: one kernel for all, by code."""

from __future__ import annotations

from xpnn.backends.cupy.module import REAL, Source, blocks
from xpnn.core.contract import Override, made
from xpnn.ops.activation import ACTIVATIONS

SOURCE = Source("activation", {"forward": (REAL,), "backward": (REAL,)})
# In the order of activation.cuh.
NAMES = (None, "relu", "sigmoid", "tanh", "leaky_relu", "elu", "gelu", "silu", "softplus", "hard_sigmoid", "step")
CODES = {name: code for code, name in enumerate(NAMES)}


def _run(name, kernel, attrs, *arrays):
    out = arrays[-1]
    args = (*arrays, CODES[name], parameter(name, attrs), out.size)
    return made([SOURCE.kernel(kernel, out.dtype).call(blocks(out.size), (256,), args)])


def _bind(name: str) -> Override:
    def forward(outs, saved, x, **attrs):
        return _run(name, "forward", attrs, x, outs[0])

    def backward(dins, douts, kept, **attrs):
        source = kept.inputs[0] if ACTIVATIONS[name].reads == "x" else kept.outs[0]
        return _run(name, "backward", attrs, source, douts[0], dins[0])

    return Override(forward, backward if name in ACTIVATIONS else None)


def parameter(name: str | None, attrs: dict[str, float]) -> float:
    """The one number that some activations take; layers that fuse an activation use its default."""
    defaults = {"leaky_relu": 0.01, "elu": 1.0}
    return next(iter(attrs.values()), defaults.get(name or "", 0.0))


OVERRIDES = {name: _bind(name) for name in (*ACTIVATIONS, "step")}
