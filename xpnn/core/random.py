"""Philox 4x32-10: random numbers that are a function of (key, counter), so the same on every backend.

J. K. Salmon, M. A. Moraes, R. O. Dror, D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC11 (2011),
section 3.3 and table 2. Number i of a stream is word i mod 4 of philox(key, (i // 4, 0, draw, 0)): kernels compute
any element without the ones before it, and `draw` counts the calls.
"""

from __future__ import annotations

import numpy as np

from xpnn.core.op import Array, Namespace, Spec
from xpnn.errors import ConfigError

ROUNDS = 10
MULTIPLIERS = (0xD2511F53, 0xCD9E8D57)
WEYL = (0x9E3779B9, 0xBB67AE85)
MASK = 0xFFFFFFFF

STATE = Spec((4,), np.dtype("uint32"))
"""A stream's state: (key low, key high, draw low, draw high)."""


def philox(counter: tuple[Array, ...], key: tuple[Array, ...]) -> tuple[Array, ...]:
    """Ten rounds over four words of counter and two of key, all uint64 arrays that hold 32-bit values.

    One round: (c0, c1, c2, c3) -> (hi(M1 c2) ^ c1 ^ k0, lo(M1 c2), hi(M0 c0) ^ c3 ^ k1, lo(M0 c0)), then k += W.
    """
    c0, c1, c2, c3 = counter
    k0, k1 = key
    # Plain numbers, not arrays of one: those would be copied to a GPU, each at every call.
    for _ in range(ROUNDS):
        p0, p1 = MULTIPLIERS[0] * c0, MULTIPLIERS[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def bits(xp: Namespace, state: Array, n: int) -> Array:
    """n random 32-bit words (n,) uint32 of the stream and draw that `state` (4,) uint32 names."""
    key0, key1, draw0, draw1 = (xp.astype(state[i], xp.uint64) for i in range(4))
    block = xp.arange((n + 3) // 4, dtype=xp.uint64)
    zero = xp.zeros_like(block)
    counter = (block & MASK, zero, zero + draw0, zero + draw1)
    words = philox(counter, (key0, key1))
    return xp.astype(xp.reshape(xp.stack(words, axis=-1), (-1,))[:n], xp.uint32)


def next_draw(xp: Namespace, state: Array) -> Array:
    """The state (4,) uint32 with its draw counter, of 64 bits, one higher: an op that has drawn leaves that behind."""
    low = state[2:3] + 1
    return xp.concat([state[:2], low, state[3:] + xp.astype(low == 0, xp.uint32)])


def state_of(seed: int) -> np.ndarray:
    """The first state (4,) uint32 of the stream that a 64-bit seed names."""
    if not isinstance(seed, (int, np.integer)) or not 0 <= seed < 1 << 64:
        raise ConfigError(f"seed: expected a whole number from 0 to 2**64 - 1; got {seed!r}")
    return np.array([seed & MASK, seed >> 32, 0, 0], np.uint32)


class Generator:
    """Random numbers on the host: initial weights, shuffles, seeds of layers.

    >>> Generator(7).uniform((2,)).round(4).tolist() == Generator(7).uniform((2,)).round(4).tolist()
    True
    """

    def __init__(self, seed: int = 0, draw: int = 0) -> None:
        """draw: how many calls to skip, so that call k is a function of (seed, k)."""
        self.state = state_of(seed)
        self.state[2:] = draw & MASK, draw >> 32

    def bits(self, n: int) -> np.ndarray:
        """n words (n,) uint32, then on to the next draw."""
        words = bits(np, self.state, n)
        self.state = next_draw(np, self.state)
        return words

    def uniform(self, shape: tuple[int, ...] = (), low: float = 0.0, high: float = 1.0) -> np.ndarray:
        """float64 in [low, high), from the top 24 bits of a word: exact in float32 too when low, high are 0, 1."""
        n = int(np.prod(shape))
        return (low + (high - low) * ((self.bits(n) >> 8) * 2.0**-24)).reshape(shape)

    def normal(self, shape: tuple[int, ...] = (), mean: float = 0.0, std: float = 1.0) -> np.ndarray:
        """float64 normal deviates by the transform of Box and Muller (1958), two from two uniform ones."""
        n = int(np.prod(shape))
        pairs = (n + 1) // 2
        words = self.bits(2 * pairs)
        radius = np.sqrt(-2.0 * np.log((words[:pairs] + 1.0) * 2.0**-32))  # + 1: the logarithm of 0 is not asked for
        angle = words[pairs:] * (2.0 * np.pi * 2.0**-32)
        z = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])[:n]
        return (mean + std * z).reshape(shape)

    def permutation(self, n: int) -> np.ndarray:
        """The numbers 0..n-1 (n,) int64 in random order."""
        # The index in the low half makes every key distinct, so any sorting algorithm gives the same order.
        keys = (self.bits(n).astype(np.uint64) << np.uint64(32)) | np.arange(n, dtype=np.uint64)
        return (np.sort(keys) & np.uint64(MASK)).astype(np.int64)

    def seed(self) -> int:
        """A 64-bit seed for a stream of its own."""
        low, high = self.bits(2)
        return int(low) | int(high) << 32


DEFAULT = Generator(0)
"""What initialisers and layers draw from when they are given no generator."""


def seed(value: int) -> None:
    """Start the default generator anew: the same seed gives the same weights and masks on every backend.

    value: 0 to 2**64 - 1. Raises ConfigError outside of that.
    """
    DEFAULT.state = state_of(value)
