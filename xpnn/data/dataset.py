"""A data set in memory: checked once when it is made, small as the pixels it came from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from xpnn.errors import ConfigError, DataError

X_DTYPES = tuple(map(np.dtype, ("uint8", "int64", "float32", "float64")))
SCAN_BYTES = 1 << 24  # float rows are scanned in pieces: a mask over all of x would cost a quarter of x again


def _row_pieces(array: np.ndarray) -> list[slice]:
    rows = max(1, SCAN_BYTES // max(1, array[:1].nbytes))
    return [slice(start, start + rows) for start in range(0, len(array), rows)]


def _first_bad_row(array: np.ndarray) -> int | None:
    """The first row with NaN or infinity, None when every value is finite."""
    if array.dtype.kind != "f":
        return None
    for piece in _row_pieces(array):
        finite = np.isfinite(array[piece])
        if not finite.all():
            return piece.start + int(np.argmin(finite.reshape(len(finite), -1).all(axis=1)))
    return None


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Samples and what belongs to them; a batch is `x * scale + shift` in float32.

    Args:
        x: (N, ...) uint8, float32 or float64, images as (N, H, W, C). uint8 pixels stay uint8 in memory. Or int64 ids
            (of characters, of words), which go to the network as they are.
        y: integer labels (N,), or one for each step of sequences x (N, T, ...) as (N, T), within 0..classes-1; or
            float targets (N, O).
        scale, shift: what turns stored values into network input, 1/255 and 0 for pixels.
        classes: how many; worked out from `y` (largest label + 1, or O) when None, stays None for no labels.
        name: for messages and progress bars.
        streams: where it is not 0, sample i + streams is the continuation of sample i: batches are of this size and in
            order, so that a recurrent network can carry its state from one to the next.

    Raises DataError for lengths that differ, no samples, NaN or infinity (naming the first row), a label that
    is out of range or no integer. Arrays are kept, not copied: a slice of a set shares memory with it.
    """

    x: np.ndarray
    y: np.ndarray
    scale: float = 1.0
    shift: float = 0.0
    classes: int | None = None
    name: str = "data"
    streams: int = 0

    def __post_init__(self) -> None:
        x, y, name = self.x, self.y, self.name
        if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
            raise DataError(f"{name}: x and y must be NumPy arrays; use xpnn.data.from_arrays for anything else")
        if x.dtype not in X_DTYPES:
            raise DataError(
                f"{name}: expected x as uint8, int64 ids, float32 or float64; got {x.dtype}. Use xpnn.data.from_arrays"
            )
        if x.ndim < 2 or y.ndim < 1:
            raise DataError(f"{name}: expected x (N, ...) and y (N,) or (N, O); got x {x.shape} and y {y.shape}")
        if len(x) != len(y):
            raise DataError(f"{name}: {len(x)} samples in x but {len(y)} in y")
        if x.size == 0 or y.size == 0:
            raise DataError(f"{name}: no samples: x is {x.shape}, y is {y.shape}")
        if not (math.isfinite(self.scale) and math.isfinite(self.shift)):
            raise DataError(f"{name}: scale and shift must be finite; got {self.scale} and {self.shift}")
        if x.dtype.kind == "i" and (self.scale, self.shift) != (1.0, 0.0):
            raise DataError(f"{name}: ids have no scale and shift; got {self.scale} and {self.shift}")
        if self.streams < 0 or (self.streams and len(x) % self.streams):
            raise DataError(f"{name}: {len(x)} samples do not make {self.streams} streams of equal length")
        if (row := _first_bad_row(x)) is not None:
            raise DataError(f"{name}: NaN or infinity in x, first in row {row}")
        if y.dtype.kind in "iu" and y.shape == x.shape[: y.ndim] and y.ndim <= 2:
            self._check_labels()
        elif y.dtype.kind == "f" and y.ndim == 2:
            self._check_targets()
        else:
            fix = (
                ". Labels? Use y.astype('int64'). Targets? Use y[:, None]"
                if y.dtype.kind == "f" and y.ndim == 1
                else ""
            )
            raise DataError(
                f"{name}: expected y as integer labels (N,), (N, T) for sequences, or float targets (N, O); "
                f"got {y.dtype} {y.shape}{fix}"
            )

    def _check_labels(self) -> None:
        if self.classes is None:
            object.__setattr__(self, "classes", max(int(self.y.max()), 0) + 1)
        assert self.classes is not None
        if int(self.y.min()) < 0 or int(self.y.max()) >= self.classes:
            place = np.argwhere((self.y < 0) | (self.y >= self.classes))[0]
            raise DataError(
                f"{self.name}: label {self.y[tuple(place)]} in row {place[0]}; expected 0..{self.classes - 1} "
                f"for {self.classes} classes"
            )

    def _check_targets(self) -> None:
        if (row := _first_bad_row(self.y)) is not None:
            raise DataError(f"{self.name}: NaN or infinity in y, first in row {row}")
        if self.classes is not None and self.classes != self.y.shape[1]:
            raise DataError(f"{self.name}: {self.classes} classes need y (N, {self.classes}); got {self.y.shape}")

    def __len__(self) -> int:
        return len(self.x)

    def __repr__(self) -> str:
        x, y = (f"{a.dtype} {a.shape}" for a in (self.x, self.y))
        return f"{type(self).__name__}({self.name}: x {x}, y {y}, classes={self.classes}, scale={self.scale:.6g})"

    @property
    def format(self) -> dict[str, Any]:
        """What a network that is fed these samples should know of them later, as plain data."""
        return {
            "shape": list(self.x.shape[1:]),
            "scale": float(self.scale),
            "shift": float(self.shift),
            "classes": self.classes,
            "data": self.name,
        }

    def __getitem__(self, which: slice | np.ndarray | Sequence[int]) -> Dataset:
        """The samples that a slice, an index array or a boolean mask picks, as a Dataset; they continue no other."""
        if not isinstance(which, slice):
            picks = np.asarray(which)
            if picks.ndim != 1 or picks.dtype.kind not in "iub" or picks.size == 0:
                raise DataError(f"{self.name}: expected a slice or 1-D integer indices; got {which!r:.60}")
            if picks.dtype.kind == "b" and len(picks) != len(self):
                raise DataError(f"{self.name}: a mask of {len(picks)} for {len(self)} samples")
            if picks.dtype.kind != "b" and not -len(self) <= int(picks.min()) <= int(picks.max()) < len(self):
                raise DataError(f"{self.name}: indices {picks.min()}..{picks.max()} of only {len(self)} samples")
            which = picks
        return replace(self, x=self.x[which], y=self.y[which], streams=0)

    def split(self, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
        """(train, validation): `fraction` of the samples, drawn at random, become the validation set.

        The same seed gives the same split on every machine: the order comes from raw Philox bits, whose
        stream NumPy guarantees, which it does not do for its own `permutation`.
        """
        if not 0 < fraction < 1:
            raise ConfigError(f"split: expected a fraction between 0 and 1; got {fraction}")
        count = round(len(self) * fraction)
        if not 0 < count < len(self):
            raise ConfigError(f"split: {self.name} has too few samples: {fraction} of {len(self)} leave one side empty")
        order = np.argsort(np.random.Philox(key=seed).random_raw(len(self)), kind="stable")
        train, validation = np.sort(order[count:]), np.sort(order[:count])
        return (
            replace(self[train], name=f"{self.name}/train"),
            replace(self[validation], name=f"{self.name}/validation"),
        )

    def labels(self) -> np.ndarray:
        """Integer labels (N,): `y` itself, or the place of each row's largest target."""
        if self.y.dtype.kind in "iu":
            return self.y
        if self.y.shape[1] < 2:
            raise DataError(f"{self.name}: y {self.y.shape} holds one target a sample, not one for each class")
        return self.y.argmax(axis=1)

    def one_hot(self, low: float = 0.0, high: float = 1.0) -> Dataset:
        """The same set with float32 targets (N, classes): `high` at the label, `low` elsewhere.

        `one_hot(0.1, 0.9)` and `one_hot(0.01, 0.99)` give the targets a sigmoid can reach.
        """
        labels = self.labels()
        if labels.ndim > 1:
            raise DataError(f"{self.name}: expected labels (N,) to make targets of; got {labels.shape}")
        classes = self.classes or self.y.shape[1]
        targets = np.full((len(self), classes), low, np.float32)
        targets[np.arange(len(self)), labels] = high
        return replace(self, y=targets, classes=classes)

    def moments(self) -> tuple[float, float]:
        """(mean, standard deviation) over all values of `x * scale + shift`, in float64."""
        if self.x.dtype == np.uint8:
            counts = sum(np.bincount(self.x[piece].ravel(), minlength=256) for piece in _row_pieces(self.x))
            values = np.arange(256.0)
            mean = float(counts @ values) / self.x.size
            variance = float(counts @ (values - mean) ** 2) / self.x.size
        else:
            # Two passes: E[x²] − E[x]² cancels when the mean is large against the spread.
            pieces = _row_pieces(self.x)
            mean = math.fsum(float(self.x[p].sum(dtype=np.float64)) for p in pieces) / self.x.size
            variance = math.fsum(float(((self.x[p] - np.float64(mean)) ** 2).sum()) for p in pieces) / self.x.size
        return mean * self.scale + self.shift, math.sqrt(variance) * abs(self.scale)

    def normalise(self, mean: float | None = None, std: float | None = None) -> Dataset:
        """The same samples with scale and shift set so that a batch has mean 0 and standard deviation 1.

        Give a test set the training set's numbers: `test.normalise(*train.moments())`. They are in the units
        of the batch as it is now, so 0.1307 and 0.3081 are MNIST's.
        """
        if mean is None or std is None:
            own_mean, own_std = self.moments()
            mean, std = own_mean if mean is None else mean, own_std if std is None else std
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise DataError(f"{self.name}: cannot normalise with mean {mean} and standard deviation {std}")
        return replace(self, scale=self.scale / std, shift=(self.shift - mean) / std)

    def flat(self) -> Dataset:
        """The same samples with x as (N, I): every image one row."""
        return replace(self, x=self.x.reshape(len(self), -1))


def need_dataset(owner: str, data: Any) -> None:
    if not isinstance(data, Dataset):
        raise ConfigError(
            f"{owner}: expected a Dataset; got {type(data).__name__}. Make one: xpnn.data.from_arrays(x, y)"
        )
