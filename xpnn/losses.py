"""Losses to train with: functions of (outputs, targets) that give a scalar tensor, and penalties to add to it.

>>> import xpnn
>>> from xpnn import losses
>>> y = xpnn.tensor([[1.0, 2.0], [3.0, 4.0]])
>>> losses.half_sum_of_squares(y, [[0.0, 0.0], [3.0, 4.0]]).item()
1.25
>>> losses.get("huber", delta=0.5)(y, [[1.0, 2.0], [3.0, 0.0]]).item()
0.46875
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from xpnn.core.tensor import Parameter, Tensor, tensor
from xpnn.errors import ConfigError, unknown
from xpnn.ops.loss import binary_cross_entropy, half_sum_of_squares, huber, l1, mean_squared_error, perceptron
from xpnn.ops.softmax import cross_entropy

__all__ = [
    "LOSSES",
    "binary_cross_entropy",
    "cross_entropy",
    "get",
    "half_sum_of_squares",
    "huber",
    "l1",
    "l1_penalty",
    "l2_penalty",
    "mean_squared_error",
    "perceptron",
]

Loss = Callable[..., Tensor]

LOSSES: dict[str, Loss] = {
    loss.__name__: loss
    for loss in (
        mean_squared_error,
        half_sum_of_squares,
        cross_entropy,
        binary_cross_entropy,
        perceptron,
        l1,
        huber,
    )
}
"""Every loss by the name that `Trainer(loss=...)` takes."""


def get(loss: str | Loss, **options: Any) -> Loss:
    """A function of (outputs, targets): one of LOSSES by name, or one of your own, with these options set.

    options: what the function takes beside the two, as in get("huber", delta=2.0). Raises ConfigError for an unknown
    name or option.
    """
    if callable(loss):
        return partial(loss, **options) if options else loss
    if loss not in LOSSES:
        raise unknown("loss", loss, LOSSES)
    function = LOSSES[loss]
    known = list(inspect.signature(function).parameters)[2:]
    for option in options:
        if option not in known:
            raise ConfigError(f"loss {loss!r}: expected options among {', '.join(known)}; got {option}")
    return partial(function, **options) if options else function


def _penalty(name: str, parameters: Any, strength: float, measure: Callable[[Tensor], Tensor], factor: float) -> Tensor:
    if not strength >= 0:
        raise ConfigError(f"{name}: expected strength >= 0; got {strength}")
    if isinstance(parameters, Tensor):  # a tensor is iterable too, row by row
        parameters = [parameters]
    found = list(parameters.parameters() if hasattr(parameters, "parameters") else parameters)
    if not found:
        raise ConfigError(f"{name}: expected at least one parameter; got none")
    total = None
    for w in found:
        if w.decay:
            total = measure(w) if total is None else total + measure(w)
    if total is None:
        return tensor(0.0, found[0].dtype, found[0].backend)
    return total * (factor * strength)


def l1_penalty(parameters: Iterable[Parameter] | Any, strength: float) -> Tensor:
    """strength * sum of |w| over the parameters with `decay` (no biases): drives weights to 0. Add it to a loss.

    parameters: an iterable of Parameters, or a module. Gradient: strength * sign(w). Tibshirani, J. R. Stat. Soc. B 58
    (1996). Raises ConfigError for a negative strength or no parameter at all. Optimizers take `l1=` for the same
    gradient at less cost; this one shows in the loss.
    """
    return _penalty("l1_penalty", parameters, strength, lambda w: w.abs().sum(), 1.0)


def l2_penalty(parameters: Iterable[Parameter] | Any, strength: float) -> Tensor:
    """strength / 2 * sum of w^2 over the parameters with `decay` (no biases): keeps weights small. Add it to a loss.

    Gradient: strength * w. Krogh and Hertz, NIPS 1991. Arguments and errors as in `l1_penalty`; optimizers take
    `l2=`.
    """
    return _penalty("l2_penalty", parameters, strength, lambda w: w.square().sum(), 0.5)
