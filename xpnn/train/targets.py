"""Errors for targets and outputs that a loss or a metric would take and make plausible numbers of nothing from."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from xpnn import nn
from xpnn.data.dataset import Dataset
from xpnn.errors import ConfigError, DataError
from xpnn.losses import binary_cross_entropy, cross_entropy, half_sum_of_squares, huber, l1, mean_squared_error
from xpnn.metrics import Metric

DISTANCES = (mean_squared_error, half_sum_of_squares, l1, huber)
CONTAINED = {binary_cross_entropy: "sigmoid", cross_entropy: "softmax"}
"""What these losses make of the outputs themselves."""


def need_logits(model: nn.Module, loss: Any) -> None:
    """ConfigError where the last layer squashes what the loss will squash: it would learn slowly, and to less."""
    function = getattr(loss, "func", loss)
    last = model[-1] if isinstance(model, nn.Sequential) and len(model) else model
    inside = CONTAINED.get(function)
    if inside and inside in (getattr(last, "activation", None), getattr(last, "name", None)):
        raise ConfigError(
            f"Trainer: {function.__name__} contains the {inside}, and the last layer, {type(last).__name__}, adds "
            f"another. Leave it out there; afterwards xpnn.ops.{inside}(outputs) gives the probabilities"
        )


def need_targets(data: Dataset, loss: Any, metrics: Iterable[Metric] = ()) -> None:
    """Do these targets belong to the loss, and to the thresholds of the metrics?"""
    function = getattr(loss, "func", loss)
    if data.y.dtype.kind != "f":
        return
    if function is cross_entropy:
        _need_shares(data)
    elif function in DISTANCES and data.y.shape[1] == 1:
        _need_threshold(data, metrics)


def need_outputs(data: Dataset, outputs: int) -> None:
    """DataError where a label has no output: the loss is NaN then."""
    label = int(data.y.max()) if data.y.dtype.kind in "iu" else -1  # a data set has none below 0
    if label >= outputs:
        raise DataError(f"{data.name}: label {label} has no output: the model has {outputs}, of the labels from 0 on")


def _need_shares(data: Dataset) -> None:
    """Cross-entropy means shares of classes: over one output it is 0, and of other numbers it may fall below 0."""
    low, high = data.y.min(), data.y.max()
    if data.y.shape[1] > 1 and low >= 0 and high <= 1:
        return
    got = f"{data.y.shape} from {low:g} to {high:g}"
    raise DataError(
        f"{data.name}: cross_entropy expects labels (N,), or targets (N, C) from 0 to 1; got {got}. "
        "Numbers? loss='mean_squared_error'. Yes or no? 'binary_cross_entropy'"
    )


def _need_threshold(data: Dataset, metrics: Iterable[Metric]) -> None:
    """ConfigError where outputs near 0 and 1 would be told apart at 0, the threshold of logits."""
    low, high = data.y.min(), data.y.max()
    for metric in metrics:
        if low >= 0 and getattr(metric, "threshold", None) == 0:
            raise ConfigError(
                f"{metric.name}: one output above 0 would mean class 1, as for logits; targets go from {low:g} to "
                f"{high:g}. Classes? xpnn.metrics.{type(metric).__name__}(threshold=0.5). Numbers? Leave it out"
            )
