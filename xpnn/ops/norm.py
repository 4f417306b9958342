"""What the normalisations share: the checks of gain and shift, and means over some axes of an array."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Array, Namespace, Spec
from xpnn.errors import ConfigError, ShapeError


def need_channels(name: str, x: Spec, least: int, **vectors: Spec | None) -> np.dtype:
    """ShapeError unless x has `least` axes or more, and gamma, beta, ... one number for each of its channels."""
    given = {key: spec for key, spec in vectors.items() if spec is not None}
    dtype = need_floating(name, x=x, **given)
    if len(x.shape) < least:
        axes = "(N, ..., C)" if least > 1 else "(..., C)"
        raise ShapeError(f"{name}: expected x {axes}; got {x.shape}")
    for key, spec in given.items():
        if spec.shape != x.shape[-1:]:
            raise ShapeError(f"{name}: expected {key} {x.shape[-1:]} to fit x {x.shape}; got {spec.shape}")
    return dtype


def need_eps(name: str, eps: Any) -> float:
    """What is added to a variance; ConfigError unless it is positive."""
    if isinstance(eps, bool) or not isinstance(eps, (int, float)) or not 0 < eps < 1:
        raise ConfigError(f"{name}: expected eps above 0 and below 1; got {eps!r}")
    return float(eps)


def asked(wanted: Sequence[bool], *grads: Array) -> tuple[Array | None, ...]:
    """The gradients that are wanted, None for the others; for the first so many inputs."""
    return tuple(grad if want else None for want, grad in zip(wanted, grads, strict=False))


def moments(xp: Namespace, x: Array, axis: tuple[int, ...]) -> tuple[Array, Array]:
    """Mean and biased variance, their axes kept. A mean far from 0 costs no digits: the first one is corrected."""
    mean = xp.mean(x, axis=axis, keepdims=True)
    mean = mean + xp.mean(x - mean, axis=axis, keepdims=True)
    far = x - mean
    return mean, xp.mean(far * far, axis=axis, keepdims=True)
