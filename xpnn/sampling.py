"""Writing with a recurrent network: it is asked what comes next, a die is cast, and the answer is its next input."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from xpnn import nn
from xpnn.core.random import Generator
from xpnn.core.tape import no_grad
from xpnn.core.tensor import tensor
from xpnn.errors import ConfigError, ShapeError
from xpnn.nn.recurrent import Recurrent, State


def sample(
    model: nn.Module, prompt: Sequence[int] | np.ndarray, length: int, temperature: float = 1.0, seed: int = 0
) -> Iterator[int]:
    """So many ids that follow the prompt's, one at a time.

    model        ids to logits, with RNN, LSTM or GRU layers among its own, such as `xpnn.models.char_lstm`
    prompt       ids to begin with, at least one
    temperature  the logits are divided by it: below 1 safer, above 1 bolder; 0 takes the likeliest every time
    seed         the same ids for the same seed

    p_i = exp(z_i / temperature) / sum over j of exp(z_j / temperature), and the id drawn is the first at which the sum
    of p passes a uniform number. Raises ConfigError for settings out of range or a model with other layers.
    """
    if not isinstance(model, nn.Sequential):
        raise ConfigError(f"sample: expected a Sequential of layers; got {type(model).__name__}")
    if not len(prompt):
        raise ShapeError("sample: expected at least one id to begin with")
    if not (temperature >= 0 and np.isfinite(temperature)):
        raise ConfigError(f"sample: expected a temperature of 0 or more; got {temperature}")
    return _ids(model.eval(), prompt, length, temperature, Generator(seed))


def _ids(
    model: nn.Sequential, prompt: Sequence[int] | np.ndarray, length: int, temperature: float, generator: Generator
) -> Iterator[int]:
    states: dict[int, State] = {}
    for i in prompt[:-1]:
        _step(model, int(i), states)
    last = int(prompt[-1])
    for _ in range(length):
        last = _draw(_step(model, last, states), temperature, generator)
        yield last


def _step(model: nn.Sequential, i: int, states: dict[int, State]) -> np.ndarray:
    """The logits (C,) after one id more; the states of the recurrent layers go on in place."""
    with no_grad():
        x = tensor(np.array([i], np.int64), backend=model.backend)
        for k, layer in enumerate(model):
            if isinstance(layer, Recurrent):
                x, states[k] = layer.step(x, states.get(k))
            else:
                x = layer(x)
    return x.numpy()[0]


def _draw(logits: np.ndarray, temperature: float, generator: Generator) -> int:
    z = logits.astype(np.float64)
    if temperature == 0:
        return int(z.argmax())
    p = np.exp((z - z.max()) / temperature)
    below = np.cumsum(p)
    return int(np.searchsorted(below, generator.uniform() * below[-1], side="right"))
