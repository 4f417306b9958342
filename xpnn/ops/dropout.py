"""Dropout: some elements become 0, chosen by a random stream, which is moved on to its next draw."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from xpnn.core.arithmetic import need_floating
from xpnn.core.op import Arg, Case, Cost, Op, Outline, Spec, register
from xpnn.core.random import MASK, STATE, bits, next_draw
from xpnn.core.tape import update
from xpnn.core.tensor import Tensor
from xpnn.errors import ConfigError, DTypeError


def threshold(rate: float) -> int:
    """Element i is kept when word i of the stream is at least this: whole numbers compare alike everywhere."""
    return min(round(rate * 2**32), MASK)


def _infer(x, state, rate):
    need_floating("dropout", x=x)
    if state != STATE:
        raise DTypeError(f"dropout: expected a stream state {STATE}; got {state}. Use xpnn.core.random.state_of(seed)")
    if not 0 <= rate < 1:
        raise ConfigError(f"dropout: expected a rate from 0 up to 1; got {rate}")
    return Outline((x, state), (Spec(x.shape, np.dtype(bool)),))


def _scaled(xp, x, kept, rate):
    """x / (1 - rate) where kept, 0 elsewhere; a product, so that NaN stays NaN where it is dropped too."""
    return x * (xp.astype(kept, x.dtype) * (1.0 / (1.0 - rate)))


def _forward(xp, x, state, rate):
    words = xp.reshape(bits(xp, state, prod(x.shape)), x.shape)
    kept = words >= threshold(rate)
    return (_scaled(xp, x, kept, rate), next_draw(xp, state)), (kept,)


def _backward(xp, wanted, douts, kept, rate):
    return _scaled(xp, douts[0], kept.saved[0], rate), None


DROPOUT = register(
    Op(
        name="dropout",
        inputs=("x", "state"),
        infer=_infer,
        forward=_forward,
        backward=_backward,
        cost=lambda x, state, rate: Cost(20 * x.size, 2 * x.nbytes + x.size),  # 10 rounds of 8 for four elements
        cases=(
            Case((Arg((4, 6)), Arg((4,), "state")), {"rate": 0.5}),
            Case((Arg((2, 3, 5)), Arg((4,), "state")), {"rate": 0.2}),
            Case((Arg((7,)), Arg((4,), "state")), {"rate": 0.0}),
            Case((Arg((64, 128)), Arg((4,), "state")), {"rate": 0.5}),
        ),
        large=(Case((Arg((64, 9216)), Arg((4,), "state")), {"rate": 0.5}),),
        updates=("", "state"),
    )
)


def dropout(x: Any, state: Tensor, rate: float) -> Tensor:
    """x / (1 - rate) for each element with probability 1 - rate, else 0: the mean stays what it was.

    x: any shape, float32 or float64. state (4,) uint32 names the stream and the draw (`xpnn.core.random`): the same
    state gives the same mask on every backend. It is moved on to the next draw, in place, so that the next call gives
    another mask. rate: 0 <= rate < 1, the probability of a 0. NaN stays NaN. Srivastava, Hinton, Krizhevsky, Sutskever
    and Salakhutdinov, JMLR 15 (2014), section 4, in the inverted form of section 10. Raises DTypeError, ConfigError.
    """
    y: Tensor = update(DROPOUT, x, state, rate=float(rate))
    return y
