"""Batches: rows gathered into arrays that are used again for the next batch, on the backend that trains."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xpnn.core.arithmetic import need_dtype
from xpnn.core.contract import Backend
from xpnn.core.gather import GATHER
from xpnn.core.op import Array, Spec
from xpnn.core.random import Generator, state_of
from xpnn.core.shape import TAKE
from xpnn.core.shift import SHIFT
from xpnn.core.tensor import Tensor
from xpnn.data.dataset import Dataset
from xpnn.errors import ConfigError

SHUFFLE = 0x5348_5546
"""Into the high word of the key, so that a shuffle has no words in common with the weights of the same seed."""
JITTER = 0x4A49_5454
"""The same for shifts."""


class Batches:
    """A data set in batches of (x, y) tensors; the last one of an epoch holds what is left over.

    dataset     goes to the backend once, as it is (uint8 pixels stay uint8)
    batch_size  samples a batch; where the data set has streams, their number, whatever is asked for
    backend     where the batches are gathered
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
        backend: Backend,
        dtype: np.dtype | str = "float32",
        shuffle: bool = False,
        seed: int = 0,
        jitter: int = 0,
    ) -> None:
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
        self._x, self._y = backend.from_host(dataset.x), backend.from_host(y)
        self._scale = backend.from_host(np.array(dataset.scale, dtype))
        self._shift = backend.from_host(np.array(dataset.shift, dtype))
        self._ids = dataset.x.dtype.kind == "i"
        x_dtype = dataset.x.dtype if self._ids else dtype
        self._x_slot = backend.empty(Spec((self.batch_size, *dataset.x.shape[1:]), x_dtype))
        self._y_slot = backend.empty(Spec((self.batch_size, *y.shape[1:]), y.dtype))
        self._plain_slot = backend.empty(Spec(self._x_slot.shape, x_dtype)) if jitter else self._x_slot
        self._batches: dict[int, tuple[Tensor, Tensor]] = {}
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
        order: Array = self.backend.from_host(self.order(number))
        shifts = self.backend.from_host(self.shifts(number)) if self.jitter else None
        for i in range(start, len(self)):
            here = slice(i * self.batch_size, (i + 1) * self.batch_size)
            rows = order[here]
            x, y = self._batch(len(rows))
            if self._ids:
                self.backend.forward(TAKE, (self._x, rows), {"axis": 0}, out=(x.data,))
            else:
                plain = self._plain_slot[: len(rows)]
                self.backend.forward(GATHER, (self._x, rows, self._scale, self._shift), {}, out=(plain,))
            if shifts is not None:
                moved = plain, shifts[here], self._shift
                self.backend.forward(SHIFT, moved, {"reach": self.jitter}, out=(x.data,))
            self.backend.forward(TAKE, (self._y, rows), {"axis": 0}, out=(y.data,))
            for version in self._versions:
                version[0] += 1
            yield x, y

    def _batch(self, n: int) -> tuple[Tensor, Tensor]:
        """The first n rows of the slots, the same arrays every time: a recorded step goes by that."""
        if n not in self._batches:
            self._batches[n] = Tensor(self._x_slot[:n], self.backend), Tensor(self._y_slot[:n], self.backend)
            for t, version in zip(self._batches[n], self._versions, strict=True):
                t.version = version
        return self._batches[n]
