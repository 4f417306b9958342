"""A model of a text, character by character, as `xpnn train` makes it."""

from __future__ import annotations

from math import ceil, exp
from pathlib import Path
from typing import TYPE_CHECKING

from xpnn.cli.common import choose
from xpnn.cli.job import SCHEDULES, Job, Wishes, describe, make_optimizer
from xpnn.errors import ConfigError

if TYPE_CHECKING:
    from xpnn.data import Text

SEQUENCE, HIDDEN, LR, CLIP_NORM = 100, 256, 2e-3, 5.0
MOST_STREAMS = 32
LEAST_WINDOWS = 50
"""In an epoch of a short text: it has fewer streams, and more updates."""
UPDATES = 3000
"""As many as make the text that is sampled readable; for them the epochs are counted."""
MOST_EPOCHS = 50
TEST_SHARE = 0.1


def job(source: str | None, wishes: Wishes) -> Job:
    """The training that was asked for; the end of the text is kept for testing."""
    from xpnn import models
    from xpnn.core import random
    from xpnn.data import text as texts

    if source is None or source in ("mnist", "digits"):
        raise ConfigError("char-lstm: expected a text to learn from; give its file: xpnn train TEXT.txt")
    wishes.need_none("activation", "loss", "jitter")
    wishes.need_share()
    sizes = wishes.sizes()
    if sizes is not None and len(sizes) != 1:
        raise ConfigError("--hidden: expected one size, of every layer of char-lstm; see --layers")
    name, sequence = str(Path(source)), wishes.sequence or SEQUENCE
    part, rest = texts.cut(texts.open_text(source), TEST_SHARE, name)
    held = ""
    watched_text = rest
    if wishes.validation is not None:
        part, watched_text = texts.cut(part, wishes.validation, name)
        held = f"{len(watched_text):,} validation, "
    streams = wishes.batch_size or max(1, min(MOST_STREAMS, len(part) // (sequence * LEAST_WINDOWS)))
    train = texts.windows(part, sequence, streams, name=name)
    test, watched = (texts.held_out(p, train.characters, sequence, MOST_STREAMS, name) for p in (rest, watched_text))
    batches = len(train) // streams
    epochs, schedule = wishes.epochs or min(ceil(UPDATES / batches), MOST_EPOCHS), wishes.schedule or "cosine"
    hidden, layers, dropout = (sizes or (HIDDEN,))[0], wishes.layers or 1, wishes.dropout or 0.0
    random.seed(wishes.seed)
    network = models.char_lstm(len(train.characters), hidden, layers, dropout=dropout, streams=streams)
    kinds = f"{len(train.characters)} different"
    counts = f"{len(part):,} training, {held}{len(rest):,} test characters, {kinds}"
    about = describe(
        wishes.model,
        network,
        f"{layers} layers" if layers > 1 else "",
        f"dropout {dropout:g}" if dropout else "",
    )
    return Job(
        train,
        watched,
        test,
        network,
        make_optimizer(wishes.optimizer, wishes.lr, LR, CLIP_NORM),
        choose("schedule", schedule, SCHEDULES),
        "cross_entropy",
        (),
        epochs,
        streams,
        facts=(("data", f"{name}: {counts}"), ("model", about)),
        verdict=verdict,
        next="xpnn sample",
    )


def test_set(source: str, characters: str, sequence: int, whole: bool) -> tuple[Text, int]:
    """A text to evaluate with, the end that `job` keeps for testing or all of it; and how many characters it has."""
    from xpnn.data import text as texts

    text = texts.open_text(source)
    part = text if whole else texts.cut(text, TEST_SHARE, source)[1]
    return texts.held_out(part, characters, sequence, MOST_STREAMS, source), len(part)


def verdict(result: dict[str, float]) -> str:
    return f"loss {result['loss']:.4f} nats a character, perplexity {exp(result['loss']):.3f}"
