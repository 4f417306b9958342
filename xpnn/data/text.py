"""A text as sequences of characters: parallel streams, cut into windows that continue each other from batch to batch.

With N streams and windows of T characters, a text of which N K T + 1 characters are used becomes

    stream 0   w(0,0) w(0,1) ... w(0,K-1)        the first K T characters
    stream 1   w(1,0) w(1,1) ... w(1,K-1)        the next K T
    ...                                          batch k is column k: N windows, each the continuation of
    stream N-1                                   the window in the same row of batch k - 1

so that a recurrent network may carry its state from one batch to the next, and gradients go back T steps: truncated
backpropagation through time (Williams and Peng, Neural Computation 2, 1990). The target of a character is the next one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xpnn.data.dataset import Dataset
from xpnn.data.files import AnyPath, Source
from xpnn.errors import ConfigError, DataError

MOST_BYTES = 1 << 28
"""Of a file: its characters take sixteen times as much in memory, as inputs and as targets."""
CONTEXT = 10
"""Windows to evaluate with are so many times as long, or more: each begins without a state and first guesses poorly."""


@dataclass(frozen=True, eq=False, repr=False)
class Text(Dataset):
    """Windows of a text: x (K N, T) int64 places in `characters`, y (K N, T) those of the characters that follow.

    Sample k N + n is window k of stream n, and `streams` is N. Make one with `read_text`, or with `windows` from a
    string.
    """

    characters: str = ""

    @property
    def format(self) -> dict[str, Any]:
        return {**super().format, "characters": self.characters}


def read_text(path: AnyPath, sequence: int = 100, streams: int = 32, test: float = 0.1) -> tuple[Text, Text]:
    """(train, test) from a text file: the last `test` of its characters are for testing.

    Args:
        path: UTF-8 text, raw or gzip.
        sequence: T, the characters of a window: so far back go gradients.
        streams: N, the windows of a batch.
        test: the share of the characters.

    The vocabulary is the training part's. The test set is cut into fewer and longer windows (see `held_out`).

    Raises DataError for a file that is no text, or too short; ConfigError for settings out of range.
    """
    train, held = cut(open_text(path), test, str(path))
    first = windows(train, sequence, streams, name=str(path))
    return first, held_out(held, first.characters, sequence, streams, first.name)


def open_text(path: AnyPath) -> str:
    """The text in a file, line ends as newlines; DataError for what is no UTF-8 text."""
    with Source(path) as source:
        content = source.read(MOST_BYTES + 1)
        name = source.path
    if len(content) > MOST_BYTES:
        raise DataError(f"{name}: longer than {MOST_BYTES >> 20} MiB. Cut it into parts")
    try:
        text = content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: expected UTF-8 text; byte {error.start} does not fit. Convert it: iconv -f LATIN1 -t UTF-8"
        ) from None
    if (place := text.find("\0")) >= 0:
        raise DataError(f"{name}: expected text; character {place} is NUL. Is it a binary file?")
    return text


def cut(text: str, share: float, name: str = "text") -> tuple[str, str]:
    """The text without its last `share`, and that: ConfigError or DataError where a part has no two characters."""
    if not 0 < share < 1:
        raise ConfigError(f"text: expected a share between 0 and 1 to hold back; got {share}")
    place = len(text) - round(share * len(text))
    if min(place, len(text) - place) < 2:
        raise DataError(f"{name}: {len(text)} characters are too few to hold back {share:g} of them")
    return text[:place], text[place:]


def windows(text: str, sequence: int, streams: int, characters: str | None = None, name: str = "text") -> Text:
    """The windows of a string (see the top of this file); what does not fill a window of every stream is left out.

    characters: the vocabulary; None: those of the text, sorted. Characters that are not in it are left out.

    Raises DataError when the text is too short for one window a stream.
    """
    for setting, value in (("sequence", sequence), ("streams", streams)):
        if not isinstance(value, (int, np.integer)) or value < 1:
            raise ConfigError(f"text: expected {setting} as a whole number >= 1; got {value!r}")
    characters = "".join(sorted(set(text))) if characters is None else characters
    ids = _places(text, characters)
    ids = ids[ids >= 0]
    K = (len(ids) - 1) // (streams * sequence)
    if K < 1:
        raise DataError(
            f"{name}: {len(ids)} characters; {streams} streams of {sequence} need {streams * sequence + 1}. "
            "Take fewer streams or shorter ones"
        )
    used = K * streams * sequence

    def in_batches(a: np.ndarray) -> np.ndarray:
        by_stream = a.reshape(streams, K, sequence)
        return by_stream.transpose(1, 0, 2).reshape(K * streams, sequence)

    x, y = in_batches(ids[:used]), in_batches(ids[1 : used + 1])
    return Text(x, y, classes=len(characters), name=name, streams=streams, characters=characters)


def held_out(text: str, characters: str, sequence: int, streams: int, name: str = "text") -> Text:
    """The windows of a text to evaluate with what was trained on windows and streams of this size.

    Windows are at least CONTEXT times as long, a quarter as many abreast; shorter and fewer where the text is too short
    for one of each stream. They share out what would fill no window: fewer characters are left out than there are
    windows. Characters that are not in the vocabulary are left out.
    """
    follow = sum(map(text.count, characters)) - 1
    sequence = max(min(CONTEXT * sequence, follow), 1)
    streams = max(min(streams // 4, follow // sequence), 1)
    count = streams * max(follow // (streams * sequence), 1)
    return windows(text, max(follow // count, 1), streams, characters, name)


def encode(text: str, characters: str, name: str = "text") -> np.ndarray:
    """The places (len(text),) int64 of the characters of a text in a vocabulary; DataError for those not in it."""
    ids = _places(text, characters)
    if (ids < 0).any():
        strange = dict.fromkeys(c for c, place in zip(text, ids, strict=True) if place < 0)
        raise DataError(f"{name}: the vocabulary has no {', '.join(map(repr, list(strange)[:10]))}")
    return ids


def decode(ids: Any, characters: str) -> str:
    """The text whose characters have these places in the vocabulary."""
    return "".join([characters[i] for i in ids])


def _places(text: str, characters: str) -> np.ndarray:
    """Each character's place among the sorted `characters`, -1 where it is not there."""
    codes, known = (np.frombuffer(s.encode("utf-32-le", "surrogatepass"), "<u4") for s in (text, characters))
    if not len(known):
        return np.full(len(codes), -1, np.int64)
    places = np.minimum(np.searchsorted(known, codes), len(known) - 1)
    return np.where(known[places] == codes, places, -1)
