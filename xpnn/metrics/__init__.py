"""Metrics: how good outputs are, gathered batch by batch.

    metric = metrics.get("accuracy")
    for x, y in batches:
        metric.update(model(x), y)          # Tensors or arrays of one backend; nothing is waited for
    metric.value()

Outputs are (..., C), a number for each class, logits or probabilities alike, with targets (...) of integer labels or
(..., C) one-hot or soft (the largest counts). Or they are binary: (N,) or (N, 1), with targets 0 and 1 (or -1 and 1) of
as many elements; an output above `threshold` means class 1: 0, the default, is for logits, 0.5 for probabilities.

A sample with NaN among its outputs is wrong, whatever its label. Of equal outputs the first counts, as for argmax.
Before the first sample `value()` is NaN.

>>> import numpy as np
>>> metric = get("accuracy")
>>> metric.update(np.array([[0.1, 0.9], [0.8, 0.2], [0.3, 0.7]]), np.array([1, 0, 0]))
>>> round(metric.value(), 4)
0.6667
"""

from __future__ import annotations

import re
from collections.abc import Callable

from xpnn.errors import unknown
from xpnn.metrics.accuracy import Accuracy, TopK
from xpnn.metrics.confusion import F1, ConfusionMatrix, Precision, Recall
from xpnn.metrics.metric import Metric
from xpnn.metrics.roc import RocAuc, auc

__all__ = [
    "F1",
    "METRICS",
    "Accuracy",
    "ConfusionMatrix",
    "Metric",
    "Precision",
    "Recall",
    "RocAuc",
    "TopK",
    "auc",
    "get",
]

METRICS: dict[str, Callable[..., Metric]] = {
    "accuracy": Accuracy,
    "precision": Precision,
    "recall": Recall,
    "f1": F1,
    "confusion_matrix": ConfusionMatrix,
    "roc_auc": RocAuc,
}
"""Every metric by the name that `get` takes, beside "top1", "top2", ..."""


def get(metric: str | Metric) -> Metric:
    """A new metric of this name; a metric is given back as it is. ConfigError for an unknown name.

    >>> get("top5").name
    'top5'
    """
    if isinstance(metric, Metric):
        return metric
    if isinstance(metric, str):
        top = re.fullmatch(r"top([1-9]\d{0,8})", metric)
        if top:
            return TopK(int(top[1]))
        if metric in METRICS:
            return METRICS[metric]()
    raise unknown("metric", metric, [*METRICS, "top5"])
