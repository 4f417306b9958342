"""A character model of Shakespeare: it learns as PyTorch's does, and what it writes is made of words."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import xpnn
from xpnn import models, optim
from xpnn.data import read_text
from xpnn.data.text import decode, encode
from xpnn.sampling import sample

STREAMS, STEPS = 32, 150


@pytest.fixture(scope="module")
def shakespeare():
    path = Path(os.environ.get("XPNN_DATA", ""), "tinyshakespeare", "input.txt")
    if not path.is_file():
        pytest.skip("XPNN_DATA does not lead to tinyshakespeare/input.txt")
    return read_text(path, sequence=100, streams=STREAMS)


def first(train, steps):
    return replace(train, x=train.x[: steps * STREAMS], y=train.y[: steps * STREAMS])


def new_model():
    with xpnn.use("numba"):
        xpnn.seed(0)
        return models.char_lstm(65, streams=STREAMS)


@pytest.mark.slow
@pytest.mark.peers
def test_the_validation_loss_is_that_of_pytorch(shakespeare):
    """From the same weights, over the same batches with the state carried along, as many steps: within 1 %."""
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    train, test = first(shakespeare[0], STEPS), shakespeare[1]
    model = new_model()
    start = model.state()

    embedding, lstm, dense = (
        torch.nn.Embedding(65, 64),
        torch.nn.LSTM(64, 256, batch_first=True),
        torch.nn.Linear(256, 65),
    )
    named = {
        embedding.weight: start["layers.0.table"],
        lstm.weight_ih_l0: start["layers.1.w.0"].T,  # gates in the order i, f, g, o there too
        lstm.weight_hh_l0: start["layers.1.u.0"].T,
        lstm.bias_ih_l0: start["layers.1.b.0"],
        lstm.bias_hh_l0: np.zeros(1024),  # a second bias, which has no twin here: it stays 0
        dense.weight: start["layers.2.w"].T,
        dense.bias: start["layers.2.b"],
    }
    with torch.no_grad():
        for p, values in named.items():
            p.copy_(torch.tensor(np.ascontiguousarray(values)))
    lstm.bias_hh_l0.requires_grad_(False)
    trained = [p for p in named if p.requires_grad]
    optimizer, state = torch.optim.Adam(trained, lr=2e-3), None

    def loss_of(x, y, state):
        out, state = lstm(embedding(torch.from_numpy(x)), state)
        return torch.nn.functional.cross_entropy(dense(out).flatten(0, 1), torch.from_numpy(y).flatten()), state

    for x, y in zip(train.x.reshape(STEPS, STREAMS, 100), train.y.reshape(STEPS, STREAMS, 100), strict=True):
        loss, state = loss_of(x, y, state)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        state = tuple(s.detach() for s in state)
    with torch.no_grad():
        parts = [slice(i, i + test.streams) for i in range(0, len(test), test.streams)]
        theirs = np.mean([loss_of(test.x[part], test.y[part], None)[0].item() for part in parts])

    trainer = xpnn.Trainer(model, optim.Adam(lr=2e-3, clip_norm=1.0))
    trainer.fit(train, epochs=1, progress=False)
    assert trainer.step == STEPS
    ours = trainer.evaluate(test)["loss"]
    print(f"validation loss {ours:.4f}, PyTorch's {theirs:.4f}")
    assert ours < 2.5
    assert abs(ours - theirs) < 0.01 * theirs


@pytest.mark.slow
def test_what_it_writes_is_made_of_words(shakespeare):
    train, test = first(shakespeare[0], 300), shakespeare[1]
    model = new_model()
    trainer = xpnn.Trainer(model, optim.Adam(lr=4e-3, clip_norm=1.0), schedule=optim.Cosine(2))
    trainer.fit(train, epochs=2, progress=False)
    loss = trainer.evaluate(test)["loss"]
    vocabulary = train.characters
    prompt = encode("\n", vocabulary)
    text = decode(sample(model, prompt, 3000, temperature=0.6), vocabulary)
    read = decode(train.x.ravel(), vocabulary)
    known, words = set(read.split()), text.split()
    share = sum(word in known for word in words) / len(words)
    print(f"validation loss {loss:.3f}, {100 * share:.0f} % words\n{text[:600]}")
    assert loss < 1.9
    assert len(words) > 300
    assert share > 0.7
