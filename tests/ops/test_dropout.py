"""Dropout: masks, their statistics and the stream's state; parity and gradients are in tests/generated."""

from __future__ import annotations

import math

import numpy as np
import pytest

import xpnn
from xpnn import nn, ops
from xpnn.core import backend as backends
from xpnn.core.op import REGISTRY
from xpnn.core.random import bits, state_of
from xpnn.core.tape import update
from xpnn.errors import ConfigError, DTypeError
from xpnn.ops.dropout import DROPOUT, threshold

ONES = 0xFFFFFFFF


def mask(shape, state, rate, place, dtype=np.float32):
    x = xpnn.tensor(np.ones(shape, dtype), backend=place)
    return ops.dropout(x, xpnn.tensor(state, backend=place), rate).numpy() != 0


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9, 1 - 1e-12])
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 1023, 1024, 1025, 4099])
def test_masks_do_not_depend_on_the_backend(place, n, rate):
    state = np.array([7, 8, 0xFFFFFFFF, 3], np.uint32)
    for dtype in ("float32", "float64"):
        np.testing.assert_array_equal(mask((n,), state, rate, place, dtype), bits(np, state, n) >= threshold(rate))


@pytest.mark.parametrize("start", [1, 2, 4])
def test_arrays_that_begin_anywhere(place, start):
    """Kernels move several elements together where they may."""
    state, values = state_of(5), xpnn.tensor(np.arange(40.0, dtype=np.float32), requires_grad=True)
    x = values[start:]
    y = ops.dropout(x, xpnn.tensor(state), 0.5)
    kept = bits(np, state, 40 - start) >= threshold(0.5)
    np.testing.assert_array_equal(y.numpy(), 2 * kept * np.arange(start, 40))
    y.backward(xpnn.tensor(np.arange(60.0, dtype=np.float32))[start : start + y.size])
    np.testing.assert_array_equal(values.grad.numpy()[start:], 2 * kept * np.arange(start, 40))


@pytest.mark.parametrize("wrap", [lambda step: step, xpnn.capture], ids=["eager", "captured"])
def test_who_kept_the_stream_sees_that_it_moved(place, wrap):
    """By its version: each call counts, a replayed one too."""
    with xpnn.use(place):
        x, state = xpnn.tensor(np.ones(4, np.float32)), xpnn.tensor(state_of(1))
        step = wrap(lambda: ops.dropout(x, state, 0.5))
        for count in range(1, 7):
            step()
            assert state.version[0] == count


def test_a_word_equal_to_the_threshold_is_kept(place):
    state = state_of(11)
    word = int(bits(np, state, 5)[4])
    assert mask((5,), state, word / 2**32, place)[4]
    assert not mask((5,), state, (word + 1) / 2**32, place)[4]


def test_the_kernel_draws_the_published_numbers():
    """The known answer of Random123 (kat_vectors, philox4x32-10) for a counter and key of zeros."""
    from xpnn_kernels.numba.philox import words

    lanes, out = np.empty((4, 2), np.uint32), np.empty((2, 4), np.uint32)
    words(np.zeros(4, np.uint32), 0, lanes, out)
    assert [hex(w) for w in out[0]] == ["0x6627e8d5", "0xe169c58d", "0xbc57ac4c", "0x9b00dbd8"]
    np.testing.assert_array_equal(out.reshape(-1), bits(np, np.zeros(4, np.uint32), 8))


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.75])
def test_the_rate_is_kept_and_so_is_the_mean(rate):
    n = 1 << 18
    state = state_of(2024)
    kept = mask((n,), state, rate, "numba")
    assert abs(kept.mean() - (1 - rate)) < 5 * math.sqrt(rate * (1 - rate) / n)
    # Neighbours, words of one block and blocks are independent.
    for lag in (1, 2, 4, 512):
        together = (kept[lag:] & kept[:-lag]).mean()
        assert abs(together - (1 - rate) ** 2) < 6 * math.sqrt((1 - rate) ** 2 / n)
    y = ops.dropout(xpnn.tensor(np.full(n, 3.0)), xpnn.tensor(state), rate).numpy()
    assert set(np.unique(y)) == {0.0, 3.0 * (1.0 / (1.0 - rate))}
    assert abs(y.mean() - 3) < 15 * math.sqrt(rate / (1 - rate) / n)


def test_the_draw_is_the_state_alone():
    state = state_of(5)
    first = mask((1000,), state, 0.5, "numba")
    np.testing.assert_array_equal(first, mask((1000,), state, 0.5, "numba"))
    np.testing.assert_array_equal(first, mask((10, 100), state, 0.5, "numba").reshape(-1))
    np.testing.assert_array_equal(first[:600], mask((600,), state, 0.5, "numba"))
    for other in ([6, 0, 0, 0], [5, 1, 0, 0], [5, 0, 1, 0], [5, 0, 0, 1]):
        agree = (first == mask((1000,), np.array(other, np.uint32), 0.5, "numba")).mean()
        assert 0.4 < agree < 0.6


def test_backward_uses_the_mask_of_forward_after_the_state_has_moved(place):
    with xpnn.use(place):
        xpnn.seed(3)
        layer = nn.Dropout(0.5)
        before = layer.stream.numpy().copy()
        x = xpnn.tensor(np.ones((8, 40), np.float32), requires_grad=True)
        y, z = layer(x), layer(x)
        assert layer.stream.numpy().tolist() == [*before[:2], before[2] + 2, before[3]]
        assert (y.numpy() != z.numpy()).any()
        (y + 3.0 * z).sum().backward()
        np.testing.assert_array_equal(x.grad.numpy(), y.numpy() + 3 * z.numpy())


@pytest.mark.parametrize("n", [0, 1, 5000])
@pytest.mark.parametrize(("draw", "then"), [((5, 3), (6, 3)), ((ONES, 3), (0, 4)), ((ONES, ONES), (0, 0))])
def test_the_stream_moves_on_in_place(place, n, draw, then):
    """The draw counts in 64 bits; many blocks read the state that one of them moves on."""
    for dtype in ("float32", "float64"):
        x, state = xpnn.tensor(np.ones(n, dtype), backend=place), xpnn.tensor(np.uint32([7, 8, *draw]), backend=place)
        version = state.version[0]
        ops.dropout(x, state, 0.5)
        assert state.numpy().tolist() == [7, 8, *then]
        assert state.version[0] == version + 1


def test_a_call_of_the_op_by_itself_leaves_the_state():
    state, place = state_of(5), backends.get("numba")
    (_, after), _ = place.forward(DROPOUT, (np.ones(9, np.float32), state), {"rate": 0.5})
    assert (state.tolist(), after.tolist()) == ([5, 0, 0, 0], [5, 0, 1, 0])


def test_a_replay_moves_the_stream_on_and_says_so():
    x, state = xpnn.tensor(np.ones(64, np.float32), backend="numba"), xpnn.tensor(state_of(5), backend="numba")
    drop = xpnn.capture(lambda x: ops.dropout(x, state, 0.5))
    masks, before = set(), state.version[0]
    for call in range(1, 6):
        masks.add(drop(x).numpy().tobytes())
        assert state.numpy().tolist() == [5, 0, call, 0]
        assert state.version[0] == before + call
    assert drop.why_not is None
    assert len(masks) == 5


def test_a_state_that_could_not_be_moved_on():
    with pytest.raises(DTypeError, match="dropout: expected state as a Tensor, which is written; got ndarray"):
        ops.dropout(xpnn.tensor([1.0]), state_of(0), 0.5)
    with pytest.raises(ConfigError, match="update: expected an op with an output that updates an input; got dense"):
        update(REGISTRY["dense"], xpnn.tensor([[1.0]]), xpnn.tensor([[1.0]]), activation=None)


def test_no_graph_through_what_is_moved_on():
    x = xpnn.tensor(np.ones(9, np.float32), requires_grad=True)
    state = xpnn.tensor(state_of(5))
    y = ops.dropout(x, state, 0.5)
    assert state.node is None
    assert not state.requires_grad
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), y.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_nan_stays_where_it_is_dropped(place, dtype):
    with xpnn.use(place):
        x = xpnn.tensor(np.full((37,), math.nan, dtype), requires_grad=True)
        y = ops.dropout(x, xpnn.tensor(state_of(1)), 0.5)
        assert np.isnan(y.numpy()).all()
        y.backward(xpnn.tensor(np.full((37,), math.nan, dtype)))
        assert np.isnan(x.grad.numpy()).all()


def test_shapes_without_elements_or_axes(place):
    with xpnn.use(place):
        state = xpnn.tensor(state_of(1))
        assert ops.dropout(xpnn.tensor(np.zeros((0, 3))), state, 0.5).shape == (0, 3)
        assert ops.dropout(xpnn.tensor(np.float64(2.0)), state, 0.0).item() == 2.0


@pytest.mark.parametrize("rate", [-0.1, 1.0, 1.5, math.nan])
def test_a_rate_out_of_range(rate):
    with pytest.raises(ConfigError, match="dropout: expected a rate from 0 up to 1; got"):
        ops.dropout(xpnn.tensor([1.0]), xpnn.tensor(state_of(0)), rate)


@pytest.mark.parametrize("state", [np.zeros(4, np.int64), np.zeros(3, np.uint32), np.zeros((1, 4), np.uint32)])
def test_a_state_that_is_none(state):
    with pytest.raises(DTypeError, match=r"dropout: expected a stream state \(4,\) uint32; got"):
        ops.dropout(xpnn.tensor([1.0]), xpnn.tensor(state), 0.5)


def test_whole_numbers_are_refused():
    with pytest.raises(DTypeError, match="dropout: expected one floating-point dtype; got x int64"):
        ops.dropout(xpnn.tensor([1, 2]), xpnn.tensor(state_of(0)), 0.5)
