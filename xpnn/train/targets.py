"""DataError for targets that a loss would take and make plausible numbers of nothing from."""

from __future__ import annotations

from typing import Any

from xpnn.data.dataset import Dataset
from xpnn.errors import DataError
from xpnn.losses import cross_entropy


def need_targets(data: Dataset, loss: Any) -> None:
    """Cross-entropy means shares of classes: over one output it is 0, and of other numbers it may fall below 0."""
    if getattr(loss, "func", loss) is not cross_entropy or data.y.dtype.kind != "f":
        return
    low, high = data.y.min(), data.y.max()
    if data.y.shape[1] > 1 and low >= 0 and high <= 1:
        return
    got = f"{data.y.shape} from {low:g} to {high:g}"
    raise DataError(
        f"{data.name}: cross_entropy expects labels (N,), or targets (N, C) from 0 to 1; got {got}. "
        "Numbers? loss='mean_squared_error'. Yes or no? 'binary_cross_entropy'"
    )
