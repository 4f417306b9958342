"""Convolution: values by hand, what padding means, what is refused and how the message helps."""

import numpy as np
import pytest

import xpnn
from xpnn import ops
from xpnn.core import backend as backends
from xpnn.errors import ConfigError, DTypeError, ShapeError

BACKENDS = [place.name for place in backends.usable()[0] if place.name in backends.BUILT_IN]


def tensor(*shape):
    return xpnn.tensor(np.random.default_rng(0).normal(size=shape))


@pytest.mark.parametrize("backend", BACKENDS)
def test_by_hand(backend):
    with xpnn.use(backend):
        x = xpnn.tensor(np.arange(9.0).reshape(1, 3, 3, 1))
        w = xpnn.tensor(np.array([1.0, 2.0, 3.0, 4.0]).reshape(2, 2, 1, 1))
        y = ops.conv2d(x, w, xpnn.tensor([100.0]).astype("float64"))
        assert y.numpy().ravel().tolist() == [127, 137, 157, 167]  # not mirrored: 0 1 + 1 2 + 3 3 + 4 4 = 27
        y = ops.conv2d(x, w, stride=2, padding=((1, 0), (0, 1)))
        assert y.numpy().ravel().tolist() == [4, 6, 57, 29]


@pytest.mark.parametrize("backend", BACKENDS)
def test_transposed_by_hand(backend):
    with xpnn.use(backend):
        x = xpnn.tensor(np.array([1.0, 10.0]).reshape(1, 1, 2, 1))
        w = xpnn.tensor(np.array([1.0, 2.0, 3.0]).reshape(1, 3, 1, 1))
        assert ops.conv_transpose2d(x, w, stride=2).numpy().ravel().tolist() == [1, 2, 13, 20, 30]
        assert ops.conv_transpose2d(x, w, stride=(1, 2), padding=(0, 1)).numpy().ravel().tolist() == [2, 13, 20]
        y = ops.conv_transpose2d(x, w, stride=(1, 4), output_padding=(0, 2))
        assert y.numpy().ravel().tolist() == [1, 2, 3, 0, 10, 20, 30, 0, 0]


@pytest.mark.parametrize("size", [1, 4, 5, 6])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("window", [1, 2, 3, 5])
def test_same_is_a_window_at_every_stride(size, stride, window):
    y = ops.conv2d(tensor(1, size, size, 1), tensor(window, window, 1, 1), stride=stride, padding="same")
    assert y.shape == (1, -(-size // stride), -(-size // stride), 1)


def test_same_puts_the_odd_zero_last():
    x, w = tensor(2, 5, 6, 3), tensor(2, 4, 3, 2)
    same, explicit = ops.conv2d(x, w, padding="same"), ops.conv2d(x, w, padding=((0, 1), (1, 2)))
    np.testing.assert_array_equal(same.numpy(), explicit.numpy())
    valid = ops.conv2d(x, w, padding="valid")
    np.testing.assert_array_equal(valid.numpy(), ops.conv2d(x, w).numpy())


@pytest.mark.parametrize("backend", BACKENDS)
def test_groups_are_convolutions_side_by_side(backend):
    with xpnn.use(backend):
        x, w, b = tensor(2, 5, 6, 6), tensor(3, 3, 3, 4), tensor(4)
        y = ops.conv2d(x, w, b, groups=2).numpy()
        for g in (0, 1):
            i, o = slice(3 * g, 3 * g + 3), slice(2 * g, 2 * g + 2)
            half = ops.conv2d(x[..., i], w[..., o], b[o])
            np.testing.assert_allclose(y[..., o], half.numpy(), rtol=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_one_axis(backend):
    with xpnn.use(backend):
        x, w, b = tensor(2, 9, 3), tensor(3, 3, 4), tensor(4)
        y = ops.conv1d(x, w, b, stride=2, padding=(2, 1), dilation=2, activation="relu").numpy()
        padded = np.pad(x.numpy(), ((0, 0), (2, 1), (0, 0)))
        expected = [np.einsum("nki,kio->no", padded[:, t : t + 5 : 2], w.numpy()) for t in range(0, 8, 2)]
        np.testing.assert_allclose(y, np.maximum(np.stack(expected, 1) + b.numpy(), 0), rtol=1e-12, atol=1e-12)
        assert ops.conv1d(x, w, padding="same").shape == (2, 9, 4)


def test_step_is_not_fused():
    y = ops.conv2d(tensor(1, 4, 4, 1), tensor(2, 2, 1, 3), activation="step").numpy()
    assert set(y.ravel()) == {0.0, 1.0}
    assert not ops.conv2d(tensor(1, 4, 4, 1), tensor(2, 2, 1, 3), activation="step").requires_grad


def test_precision_is_an_attribute(monkeypatch):
    seen = []
    place = backends.get("numpy")
    forward = place.forward
    monkeypatch.setattr(place, "forward", lambda op, x, attrs, **how: seen.append(attrs) or forward(op, x, attrs))
    with xpnn.use("numpy"):
        x, w = tensor(1, 3, 3, 1), tensor(3, 3, 1, 1)
        ops.conv2d(x, w)
        with xpnn.precision("exact"):
            ops.conv2d(x, w)
    assert [attrs["precision"] for attrs in seen] == ["fast", "exact"]


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_images(backend):
    with xpnn.use(backend):
        x, w = xpnn.Tensor(tensor(0, 4, 4, 2).data, backends.current(), True), tensor(3, 3, 2, 5)
        w.requires_grad = True
        y = ops.conv2d(x, w)
        assert y.shape == (0, 2, 2, 5)
        y.sum().backward()
        assert not w.grad.numpy().any()


X, W = (2, 5, 6, 3), (3, 3, 3, 4)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: ops.conv2d(tensor(2, 3, 5, 6), tensor(*W)), ShapeError, r"x.transpose\(0, 2, 3, 1\)"),
        (lambda: ops.conv2d(tensor(2, 5, 6), tensor(3, 3, 1, 4)), ShapeError, r"x\[..., None\]"),
        (lambda: ops.conv2d(tensor(5, 6, 3), tensor(*W)), ShapeError, r"x\[None\]"),
        (
            lambda: ops.conv2d(tensor(2, 5, 6, 4), tensor(*W)),
            ShapeError,
            r"expected x \(N, H, W, 3\); got",
        ),
        (lambda: ops.conv2d(tensor(*X), tensor(3, 3, 4)), ShapeError, r"expected w \(KH, KW, I, O\)"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), tensor(3)), ShapeError, r"expected b \(4,\)"),
        (lambda: ops.conv2d(tensor(*X), tensor(7, 7, 3, 4)), ShapeError, "at least 7 x 7 pixels"),
        (lambda: ops.conv2d(tensor(*X), tensor(3, 3, 1, 4), groups=3), ConfigError, "groups=3 divides; got 4"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), groups=0), ConfigError, "expected groups >= 1"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), stride=0), ConfigError, "expected stride >= 1"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), dilation=2**70), ConfigError, r"expected dilation < 2\*\*31"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), padding=2**63), ConfigError, r"expected padding < 2\*\*31"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), dilation=(1, 0)), ConfigError, "expected dilation >= 1"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), padding=-1), ConfigError, "expected padding >= 0"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), padding="full"), ConfigError, "'same', 'valid'"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W), activation="rely"), ConfigError, "relu"),
        (lambda: ops.conv2d(tensor(*X), tensor(*W).astype("float32")), DTypeError, "conv2d"),
        (lambda: ops.conv1d(tensor(2, 3, 9), tensor(3, 3, 4)), ShapeError, r"conv1d: .*x.transpose\(0, 2, 1\)"),
        (lambda: ops.conv1d(tensor(*X), tensor(3, 3, 4)), ShapeError, r"conv1d: expected x \(N, T, 3\)"),
        (lambda: ops.conv1d(tensor(2, 9, 3), tensor(*W)), ShapeError, r"conv1d: expected w \(K, I, O\)"),
        (lambda: ops.conv_transpose2d(tensor(*X), tensor(3, 3, 4, 3)), ShapeError, r"I of w \(KH, KW, I, O\)"),
        (lambda: ops.conv_transpose2d(tensor(*X), tensor(*W), output_padding=1), ConfigError, "below the stride"),
        (lambda: ops.conv_transpose2d(tensor(*X), tensor(*W), padding="same"), ConfigError, "a number or pairs"),
        (lambda: ops.conv_transpose2d(tensor(*X), tensor(*W), padding=4), ShapeError, "leaves pixels"),
    ],
)
def test_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
