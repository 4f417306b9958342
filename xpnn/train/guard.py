"""The guard against a loss that is NaN or infinite: no update follows it, and it names where that comes from."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from xpnn.core.tape import no_grad
from xpnn.core.tensor import Tensor
from xpnn.core.transfers import number
from xpnn.errors import ConfigError, NumericError
from xpnn.nn import Module, watching
from xpnn.train.callback import Callback

if TYPE_CHECKING:
    from xpnn.train.trainer import Trainer


class FiniteGuard(Callback):
    """Raise NumericError when a loss is NaN or infinite; the weights are those before that step.

    Nothing waits for that: the update of a step itself does nothing from the first such loss on (`Optimizer.step`). The
    guard only looks whether it came to that, every so many steps and where an epoch or the training ends.

    Only the loss is looked at. A gradient that is not finite behind a loss that is (of a square root at 0, say) spoils
    the weights, and the loss of the next step tells; the running statistics of batch normalisation are written in the
    forward pass, and take in the batches whose updates are left out.

    every: look at every so many steps; default: each one on a host, each hundredth on a device (a look waits for it).
    The error names the first parameter, input or layer that is not finite.
    """

    def __init__(self, every: int | None = None) -> None:
        if every is not None and every < 1:
            raise ConfigError(f"FiniteGuard: expected every >= 1; got {every}")
        self.every = every

    def on_step_end(self, trainer: Trainer, loss: Tensor) -> None:
        every = self.every or (1 if loss.backend.on_host else 100)
        if (trainer.step - 1) % every == 0 or trainer.at_epoch_end:
            self._look(trainer)

    def on_fit_end(self, trainer: Trainer) -> None:
        """Within an epoch, where it was interrupted."""
        self._look(trainer)

    @staticmethod
    def _look(trainer: Trainer) -> None:
        halt = trainer.halt()
        if halt is not None:
            raise NumericError(_report(trainer, *halt))


def _report(trainer: Trainer, step: int, loss: float, x: Tensor, y: Tensor) -> str:
    seen = trainer.step - 1
    trainer.step = step  # updates made
    later = f" (seen at step {seen})" if seen > step else ""
    place, culprit = f"epoch {trainer.epoch + 1}, step {step}{later}", _culprit(trainer.model, x, y)
    return f"training: the loss is {loss} in {place}: {culprit}. The weights are those before this step"


def _finite(t: Tensor) -> bool:
    if t.backend.on_host and t.data.ndim == 0:
        return math.isfinite(t.data)  # a loss, at every step: a fifth of the time of what follows
    with t.backend.here():
        return t.dtype.kind != "f" or bool(number(t.backend.xp.all(t.backend.xp.isfinite(t.data))))


def _culprit(model: Module, x: Tensor, y: Tensor) -> str:
    """The first thing that is not finite, in the order of the computation."""
    for name, p in model.named_parameters():
        if not _finite(p):
            return f"parameter {name} is not finite. Try a lower learning rate or clip_norm"
    if not _finite(x):
        return "the input is not finite. Check the data and its scale"
    names = {id(module): name for name, module in model.named_modules()}
    found: list[str] = []

    def look(module: Module, out: Any) -> None:
        if isinstance(out, Tensor) and not _finite(out):
            found.append(f"layer {names.get(id(module), '?')} ({type(module).__name__}) gave it first")

    with no_grad(), watching(look):
        output = model(x)
    if not found and y.dtype.kind in "iu" and isinstance(output, Tensor) and output.ndim > 1:
        outputs, label = output.shape[-1], int(y.numpy().max())  # a data set has none below 0
        if label >= outputs:
            classes = model.input_format["classes"]
            return f"label {label} has no output: the data has {classes} classes and the model {outputs} outputs"
    return found[0] if found else "the layers are finite, so the loss made it. Check the labels and targets"
