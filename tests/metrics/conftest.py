"""Outputs with labels, and what a metric makes of some batches of them."""

from __future__ import annotations

import numpy as np

from xpnn import metrics
from xpnn.core import backend as backends

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]
NAMES = ["accuracy", "top2", "precision", "recall", "f1", "confusion_matrix", "roc_auc"]


def logits(n=60, classes=4, seed=0, coarse=False):
    """Outputs and labels; coarse ones have many ties."""
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, classes)) if not coarse else rng.integers(-2, 3, (n, classes)).astype("float64")
    return y, rng.integers(0, classes, n)


def after(metric, *batches):
    metric = metrics.get(metric)
    for output, target in batches:
        metric.update(output, target)
    return metric.value()
