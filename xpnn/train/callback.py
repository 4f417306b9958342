"""What may look at training, save it, or stop it: a subclass of Callback with the hooks it needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from xpnn.core.tensor import Tensor

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer

Row = dict[str, float]


class Callback:
    """Every hook does nothing here; each is called for one callback after the other, in their order.

    `trainer.stop = True` ends training. Set in `on_epoch_end` it is a decision: a run resumed from a later checkpoint
    keeps to it. Set anywhere else (after a step, by a signal handler) it is an interruption: a resumed run goes on.

    `state` (plain JSON-able data) and `arrays` go through checkpoints, so that a resumed run decides as the
    uninterrupted one would.
    """

    def on_fit_start(self, trainer: Trainer) -> None: ...
    def on_loss(self, trainer: Trainer, x: Tensor, loss: Tensor) -> None:
        """After the forward pass of a step and before anything changes: on a device it makes two launches of a step."""

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None: ...
    def on_epoch_end(self, trainer: Trainer, row: Row) -> None: ...
    def on_settled(self, trainer: Trainer, row: Row | None) -> None:
        """When all callbacks have had their `on_step_end` (row is None) or `on_epoch_end`: the moment to save."""

    def on_fit_end(self, trainer: Trainer) -> None: ...

    def state(self) -> dict[str, Any]:
        return {}

    def arrays(self) -> dict[str, np.ndarray]:
        return {}

    def load_state(self, state: dict[str, Any], arrays: dict[str, np.ndarray]) -> None: ...


def overridden(callbacks: Sequence[Callback], hook: str) -> list[Any]:
    """The callbacks that have a hook of their own: a step should not call thirty functions that do nothing."""
    return [c for c in callbacks if getattr(type(c), hook) is not getattr(Callback, hook)]
