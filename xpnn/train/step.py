"""The training step: the next batch, forward, loss, backward, update.

It is recorded and replayed (`xpnn.core.capture`), so it is made of ops, and what it reads is given to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from xpnn.core.capture import Captured
from xpnn.core.tensor import Tensor
from xpnn.data.batches import Batches
from xpnn.nn import Module
from xpnn.optim import Optimizer
from xpnn.train.meter import Meter

Results = tuple[Tensor, Tensor, Tensor, Tensor]
"""Loss, output, x, y."""


def recorded(pauses: bool) -> Captured:
    """A step whose `steps(batches, size, model, loss_of, optimizer, meter)` yields its Results once.

    pauses: before the update, so that the loss can be looked at while nothing has changed yet; else after it.
    """
    return Captured(_with_pause if pauses else _in_one, borrow=True)


def _in_one(
    batches: Batches, size: int, model: Module, loss_of: Callable[..., Tensor], optimizer: Optimizer, meter: Meter
) -> Results:
    results = _forward(batches, size, model, loss_of, meter)
    _update(results[0], optimizer, meter)
    return results


def _with_pause(
    batches: Batches, size: int, model: Module, loss_of: Callable[..., Tensor], optimizer: Optimizer, meter: Meter
) -> Iterator[Results]:
    results = _forward(batches, size, model, loss_of, meter)
    yield results
    _update(results[0], optimizer, meter)


def _forward(batches: Batches, size: int, model: Module, loss_of: Callable[..., Any], meter: Meter) -> Results:
    x, y = batches.gather(size)
    output = model(x)
    loss = loss_of(output, y)
    meter.count(loss, output, y, size)
    return loss, output, x, y


def _update(loss: Tensor, optimizer: Optimizer, meter: Meter) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step(unless=meter.halted(loss.backend))
