"""Philox 4x32-10 against the vectors of its authors (Random123, kat_vectors), and what is built on it."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn.core.random import DEFAULT, Generator, bits, next_draw, philox, state_of
from xpnn.errors import ConfigError

ONES = 0xFFFFFFFF
KNOWN = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),  # the digits of pi
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_known_answers(counter, key, words):
    as_words = [np.array([w], np.uint64) for w in (*counter, *key)]
    assert tuple(int(w[0]) for w in philox(tuple(as_words[:4]), tuple(as_words[4:]))) == words


def test_bits_start_with_the_known_answer():
    assert bits(np, state_of(0), 4).tolist() == list(KNOWN[0][2])


def test_a_word_does_not_depend_on_how_many_are_asked_for():
    state = state_of(12345678901234567890)
    assert bits(np, state, 1000)[:7].tolist() == bits(np, state, 7).tolist()
    assert bits(np, state, 0).shape == (0,)


def test_both_halves_of_the_seed_count():
    streams = {bits(np, state_of(seed), 4).tobytes() for seed in (0, 1, 1 << 32, 1 << 63, (1 << 64) - 1)}
    assert len(streams) == 5


@pytest.mark.parametrize("seed", [-1, 1 << 64])
def test_seeds_out_of_range(seed):
    with pytest.raises(ConfigError, match="seed"):
        Generator(seed)
    with pytest.raises(ConfigError, match="seed"):
        xpnn.seed(seed)


def test_the_draw_counter_carries():
    state = np.array([7, 8, ONES, 3], np.uint32)
    assert next_draw(np, state).tolist() == [7, 8, 0, 4]
    assert state.tolist() == [7, 8, ONES, 3]
    assert next_draw(np, np.array([7, 8, ONES, ONES], np.uint32)).tolist() == [7, 8, 0, 0]


def test_draws_differ_and_a_seed_repeats_them():
    rng = Generator(5)
    first, second = rng.bits(8).tolist(), rng.bits(8).tolist()
    assert first != second
    assert Generator(5).bits(8).tolist() == first


def test_seed_starts_the_default_anew():
    before = DEFAULT.state.copy()
    try:
        xpnn.seed(3)
        first = DEFAULT.uniform((4,)).tolist()
        xpnn.seed(3)
        assert DEFAULT.uniform((4,)).tolist() == first
    finally:
        DEFAULT.state = before


def test_uniform():
    u = Generator(1).uniform((100, 1000), -2.0, 3.0)
    assert u.shape == (100, 1000)
    assert u.min() >= -2
    assert u.max() < 3
    assert abs(u.mean() - 0.5) < 5 * (5 / np.sqrt(12)) / np.sqrt(u.size)
    unit = Generator(1).uniform((100_000,))
    assert unit.astype(np.float32).max() < 1  # 24 bits: rounding to float32 does not reach 1
    assert np.ndim(Generator(1).uniform()) == 0


def test_normal():
    z = Generator(2).normal((300_001,), mean=1.0, std=2.0)
    assert z.shape == (300_001,)
    assert abs(z.mean() - 1) < 5 * 2 / np.sqrt(z.size)
    assert abs(z.std() - 2) < 5 * 2 / np.sqrt(2 * z.size)
    standard = (z - 1) / 2
    assert abs((standard**3).mean()) < 0.05
    assert abs((standard**4).mean() - 3) < 0.1
    half = z.size // 2
    assert abs(np.corrcoef(z[:half], z[-half:])[0, 1]) < 0.02  # the two of a pair
    assert np.isfinite(z).all()
    assert Generator(2).normal((3, 0)).shape == (3, 0)


def test_permutation():
    assert sorted(Generator(3).permutation(1000).tolist()) == list(range(1000))
    assert Generator(3).permutation(0).tolist() == []
    assert Generator(3).permutation(1).tolist() == [0]
    rng = Generator(4)
    first = [int(rng.permutation(5)[0]) for _ in range(2000)]
    assert max(abs(np.bincount(first, minlength=5) - 400)) < 5 * np.sqrt(2000 * 0.2 * 0.8)


def test_seeds_of_its_own():
    rng = Generator(6)
    seeds = {rng.seed() for _ in range(100)}
    assert len(seeds) == 100
    assert all(0 <= seed < 1 << 64 for seed in seeds)
