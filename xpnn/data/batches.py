"""Batches: rows gathered into arrays that are used again for the next batch, on the backend that trains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from xpnn.core import backend as backends
from xpnn.core.arithmetic import OPS as ARITHMETIC
from xpnn.core.arithmetic import need_dtype
from xpnn.core.contract import Backend
from xpnn.core.gather import GATHER
from xpnn.core.op import Array, Spec
from xpnn.core.random import Generator, state_of
from xpnn.core.shape import TAKE
from xpnn.core.shift import SHIFT
from xpnn.core.tensor import Tensor
from xpnn.data.dataset import Dataset, need_dataset
from xpnn.errors import ConfigError

SHUFFLE = 0x5348_5546
"""Into the high word of the key, so that a shuffle has no words in common with the weights of the same seed."""
JITTER = 0x4A49_5454
"""The same for shifts."""


class _Slots(NamedTuple):
    """Where batches of one size are gathered: images before they are shifted in `plain`."""

    batch: tuple[Tensor, Tensor]
    plain: Array


class Batches:
    """A data set in batches of (x, y) tensors; the last one of an epoch holds what is left over.

    dataset     goes to the backend once, as it is (uint8 pixels stay uint8)
    batch_size  samples a batch; where the data set has streams, their number, whatever is asked for
    backend     where the batches are gathered, or its name
    dtype       of x, and of float targets; x = stored * scale + shift. int64 ids stay as they are
    shuffle     another order every epoch, a function of (seed, epoch) alone: so a resumed epoch goes on in its order.
                Streams are never shuffled
    jitter      images (N, H, W, C) are shifted by up to so many pixels along both axes, each by a number of its own,
                a function of (seed, epoch, place in the epoch) alone; what comes in is black (a stored 0)

    Each batch overwrites the one before: use it before the next is drawn; `list(batches.epoch())` would hold the last
    one many times. A backward pass over an overwritten batch raises AutogradError.

    Raises ConfigError for a batch size below 1, a seed out of range, and a jitter of what are no images of that size.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        backend: Backend | str,
        dtype: np.dtype | str = "float32",
        shuffle: bool = False,
        seed: int = 0,
        jitter: int = 0,
    ) -> None:
        need_dataset("Batches", dataset)
        backend = backends.get(backend)
        images = dataset.x.ndim == 4 and dataset.x.dtype.kind != "i" and not dataset.streams
        if jitter and not (images and 0 < jitter < min(dataset.x.shape[1:3])):
            raise ConfigError(
                f"jitter: expected images (N, H, W, C), larger than the shift in pixels; got {jitter} for samples "
                f"{dataset.x.shape[1:]}"
            )
        if batch_size < 1:
            raise ConfigError(f"batch_size: expected at least 1; got {batch_size}")
        if dataset.streams:
            batch_size, shuffle = dataset.streams, False
        state_of(seed)  # a ConfigError now rather than in the first epoch
        self.dataset, self.backend, self.shuffle, self.seed = dataset, backend, shuffle, seed
        self.jitter = jitter
        self.batch_size = min(batch_size, len(dataset))
        dtype = need_dtype("Batches", dtype)
        y = dataset.y.astype(dtype if dataset.y.dtype.kind == "f" else np.int64, copy=False)
        ids = dataset.x.dtype.kind == "i"
        x_dtype = dataset.x.dtype if ids else dtype
        scale, shift = (1, 0) if ids else (dataset.scale, dataset.shift)
        self._x, self._y = backend.from_host(dataset.x), backend.from_host(y)
        self._scale, self._shift = (backend.from_host(np.array(value, x_dtype)) for value in (scale, shift))
        N, whole = self.batch_size, np.dtype(np.int64)
        self._order, self._at = backend.empty(Spec((len(dataset),), whole)), backend.empty(Spec((), whole))
        self._places: Array = backend.from_host(np.arange(N)) if jitter else None
        self._shifts: Array = backend.empty(Spec((len(dataset), 2), whole)) if jitter else None
        x = Spec((N, *dataset.x.shape[1:]), np.dtype(x_dtype))
        self._room = [backend.empty(spec) for spec in (x, Spec((N, *y.shape[1:]), y.dtype), *[x] * bool(jitter))]
        self._slots: dict[int, _Slots] = {}
        self._versions: tuple[list[int], list[int]] = [0], [0]  # the tape sees by them that a batch was overwritten

    def __len__(self) -> int:
        """Batches an epoch."""
        return -(-len(self.dataset) // self.batch_size)

    def order(self, epoch: int) -> np.ndarray:
        """The rows (N,) int64 in the order of this epoch: draw number `epoch` of the stream seed ^ SHUFFLE << 32."""
        if not self.shuffle:
            return np.arange(len(self.dataset))
        return Generator(self.seed ^ SHUFFLE << 32, draw=epoch).permutation(len(self.dataset))

    def shifts(self, epoch: int) -> np.ndarray:
        """Of this epoch, (N, 2) int64 from 0 to 2 jitter; in the middle an image stays where it is."""
        words = Generator(self.seed ^ JITTER << 32, draw=epoch).bits(2 * len(self.dataset))
        return ((words >> 8) % (2 * self.jitter + 1)).astype(np.int64).reshape(-1, 2)

    def epoch(self, number: int = 0, start: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch, from batch `start` on."""
        self.begin(number, start)
        for size in self.sizes(start):
            yield self.gather(size)

    def sizes(self, start: int = 0) -> Iterator[int]:
        """What `gather` is to be given for each batch of an epoch, from batch `start` on: how many samples it has."""
        last = len(self.dataset) - (len(self) - 1) * self.batch_size
        for i in range(start, len(self)):
            for version in self._versions:  # from here on what was made of the last batch is not to be trusted
                version[0] += 1
            yield self.batch_size if i < len(self) - 1 else last

    def begin(self, number: int = 0, start: int = 0) -> None:
        """The next batch that `gather` gives is batch `start` of this epoch: its order goes to the backend at once."""
        self.backend.set(self._order, self.backend.from_host(self.order(number)))
        if self.jitter:
            self.backend.set(self._shifts, self.backend.from_host(self.shifts(number)))
        self.turn_to(start)

    def turn_to(self, batch: int) -> None:
        """The next batch that `gather` gives is this one of the epoch that was begun."""
        self.backend.set(self._at, batch * self.batch_size)

    def gather(self, size: int) -> tuple[Tensor, Tensor]:
        """The next batch (x, y) of the epoch that was begun, of so many samples.

        Where it is in the epoch is a number in an array, which this advances: a recorded step may gather its batch.
        """
        (x, y), plain = self._slots_of(size)
        run, by = self.backend.forward, None
        if self.jitter:
            (places,), _ = run(ARITHMETIC["add"], (self._places[:size], self._at), {})
            (by,), _ = run(TAKE, (self._shifts, places), {"axis": 0})
        given = self._x, self._y, self._order, self._at, self._scale, self._shift
        run(GATHER, given, {"size": size}, out=(plain, y.data, self._at))
        if self.jitter:
            run(SHIFT, (plain, by, self._shift), {"reach": self.jitter}, out=(x.data,))
        return x, y

    def _slots_of(self, n: int) -> _Slots:
        """The first n rows of the slots, the same arrays every time: a recorded step goes by that."""
        if n not in self._slots:
            x, y, *plain = [slot[:n] for slot in self._room]
            batch = Tensor(x, self.backend), Tensor(y, self.backend)
            for t, version in zip(batch, self._versions, strict=True):
                t.version = version
            self._slots[n] = _Slots(batch, plain[0] if plain else x)
        return self._slots[n]
