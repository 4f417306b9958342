"""Sine and cosine of large angles on CUDA, against angles that whole numbers of 2,000 bits reduce."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest

import xpnn.ops  # noqa: F401 - registers every op
from cuda_cpu.standin import Place
from xpnn.core.op import REGISTRY

CUDA = Place()
pytestmark = pytest.mark.skipif(CUDA.backend is None, reason=str(CUDA.why_not))
BITS = 2000
HARDEST = {"float32": 16367173 * 2.0**72, "float64": 6381956970095103 * 2.0**797}
"""The closest that a number of this dtype comes to a multiple of pi / 2 (Muller, Elementary Functions, 11.3)."""


def arctan_of_one_over(n):
    """Times 2^BITS, by its series."""
    power = total = (1 << BITS) // n
    for k in range(3, BITS, 2):
        power //= -n * n
        total += power // k
    return total


HALF_PI = 2 * (4 * arctan_of_one_over(5) - arctan_of_one_over(239))  # Machin


def sine(x, quarters):
    """sin(x + quarters pi / 2)"""
    angle = int(Fraction(x) * (1 << BITS))
    turn = (2 * angle + HALF_PI) // (2 * HALF_PI)
    rest, turn = float(Fraction(angle - turn * HALF_PI, 1 << BITS)), turn + quarters
    return (math.cos if turn % 2 else math.sin)(rest) * (-1 if turn % 4 >= 2 else 1)


def given(name, x):
    with CUDA.ready():
        return CUDA.backend.to_host(CUDA.backend.forward(REGISTRY[name], [CUDA.backend.from_host(x)], {})[0][0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("name", "quarters"), [("sin", 0), ("cos", 1)])
def test_large_angles(name, quarters, dtype):
    """To the last digits, beyond 10^5, where CUDA's own take another way, and beside multiples of pi / 2."""
    rng, most = np.random.default_rng(3), np.log10(np.finfo(dtype).max)
    x = 10 ** rng.uniform(-most / 4, most, 1000) * rng.choice([-1, 1], 1000)
    x = np.concatenate([x, np.arange(-200, 200) * np.pi / 2, [0.5, -0.5, 0, HARDEST[dtype]]]).astype(dtype)
    want = np.array([sine(float(v), quarters) for v in x])
    got = given(name, x)
    np.testing.assert_array_less(np.abs(got - want), 2.5 * np.spacing(np.abs(want).astype(dtype)))
    assert np.isnan(given(name, np.array([np.inf, -np.inf, np.nan], dtype))).all()
