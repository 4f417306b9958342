"""Writing with a network: what is drawn, from which probabilities, and from which state."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import models, nn
from xpnn.errors import ConfigError, ShapeError
from xpnn.sampling import sample

BACKENDS = ("numpy", "numba")


def writer(backend="numpy", layers=1):
    xpnn.seed(3)
    with xpnn.use(backend):
        model = models.char_lstm(6, hidden=8, layers=layers, embedding=4, dropout=0.2, streams=4)
    for p in model.parameters():
        p.assign(3 * p.numpy())  # strong opinions
    return model


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("layers", [1, 2])
def test_step_by_step_is_the_whole_sequence(backend, layers):
    """The likeliest characters one at a time are those of one pass over all that was written."""
    model = writer(backend, layers)
    prompt = [0, 3, 1]
    written = list(sample(model, prompt, 20, temperature=0))
    x = xpnn.tensor(np.array([prompt + written]), backend=backend)
    assert model.eval()(x).numpy()[0, 2:-1].argmax(-1).tolist() == written


def test_the_seed_decides():
    model = writer()
    runs = [list(sample(model, [1], 50, seed=seed)) for seed in (0, 0, 1)]
    assert runs[0] == runs[1] != runs[2]
    assert {type(i) for i in runs[0]} == {int}
    assert set(runs[0]) <= set(range(6))


class Opinion(nn.Module):
    """The same logits whatever comes."""

    def __init__(self, logits):
        self.logits = xpnn.tensor(np.array([logits], np.float32))

    def forward(self, x):
        return self.logits


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_probabilities(temperature):
    logits = np.log([0.5, 0.3, 0.0001, 0.2])
    ids = list(sample(nn.Sequential(Opinion(logits)), [0], 4000, temperature))
    p = np.exp(logits / temperature)
    np.testing.assert_allclose(np.bincount(ids, minlength=4) / 4000, p / p.sum(), atol=0.03)


def test_extreme_temperatures():
    model = nn.Sequential(Opinion([1000.0, -1000.0, 999.0]))
    assert list(sample(model, [0], 5, 0)) == [0] * 5
    assert list(sample(model, [0], 5, 1e-300)) == [0] * 5
    assert set(sample(model, [0], 200, 1e300)) == {0, 1, 2}


@pytest.mark.parametrize("temperature", [-1, float("nan"), float("inf")])
def test_no_temperature(temperature):
    with pytest.raises(ConfigError, match="temperature of 0 or more"):
        sample(writer(), [0], 5, temperature)


def test_what_cannot_write():
    with pytest.raises(ShapeError, match="at least one id"):
        sample(writer(), [], 5)
    with pytest.raises(ConfigError, match="expected a Sequential of layers; got LSTM"):
        sample(nn.LSTM(3, 4), [0], 5)
