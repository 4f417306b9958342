"""Convolution layers: shapes, initial weights, what they refuse, and the same answer as PyTorch's."""

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.errors import ConfigError, ShapeError


def test_shapes():
    assert nn.Conv2d(3, 8, 3, padding="same")(np.ones((2, 7, 9, 3), "f")).shape == (2, 7, 9, 8)
    assert nn.Conv2d(3, 8, (3, 2), stride=(2, 1))(np.ones((2, 7, 9, 3), "f")).shape == (2, 3, 8, 8)
    assert nn.Conv1d(3, 8, 5, dilation=2)(np.ones((2, 19, 3), "f")).shape == (2, 11, 8)
    assert nn.ConvTranspose2d(3, 8, 2, stride=2)(np.ones((2, 7, 9, 3), "f")).shape == (2, 14, 18, 8)


def test_images_of_grey_pixels():
    model = nn.Sequential(nn.Conv2d(1, 32, 3, activation="relu"), nn.Flatten(), nn.Dense(32 * 26 * 26, 10))
    assert model(np.ones((2, 28, 28, 1), "f")).shape == (2, 10)
    with pytest.raises(ShapeError, match=r"Give it a channel axis: x\[..., None\]"):
        model(np.ones((2, 28, 28), "f"))
    with pytest.raises(ShapeError, match="Channels come last"):
        model(np.ones((2, 1, 28, 28), "f"))


def test_initial_weights_count_the_window():
    """A unit of a 3 x 3 kernel on 64 channels has 576 inputs."""
    w = nn.Conv2d(64, 64, 3, activation="relu").w.numpy()
    assert abs(w.std() / np.sqrt(2 / 576) - 1) < 0.02
    w = nn.Conv2d(64, 64, 3).w.numpy()
    assert abs(w.std() / np.sqrt(1 / 576) - 1) < 0.02


def test_biases_are_not_decayed():
    layer = nn.Conv2d(1, 2, 3)
    assert layer.w.decay
    assert not layer.b.decay
    assert nn.Conv2d(1, 2, 3, bias=False).b is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.Conv2d(0, 2, 3), "expected in_channels >= 1"),
        (lambda: nn.Conv2d(1, 2, 0), "expected kernel_size >= 1"),
        (lambda: nn.Conv2d(1, 2, (3, 3, 3)), "kernel_size as a number or a pair"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "expected in_channels that groups=2 divides; got 3"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "expected out_channels that groups=2 divides; got 3"),
        (lambda: nn.Conv2d(1, 2, 3, padding="full"), "expected padding 'same', 'valid'"),
        (lambda: nn.Conv2d(1, 2, 3, activation="rely"), "Did you mean 'relu'"),
        (lambda: nn.Conv1d(1, 2, 3, stride=0), "expected stride >= 1"),
        (lambda: nn.Conv1d(1, 2, 3, padding="full"), "expected padding 'same', 'valid'"),
        (lambda: nn.ConvTranspose2d(1, 2, 3, padding="same"), "a number or pairs"),
        (lambda: nn.ConvTranspose2d(1, 2, 3, output_padding=1), "below the stride"),
    ],
)
def test_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


@pytest.mark.peers
@pytest.mark.parametrize("name", ["Conv1d", "Conv2d", "ConvTranspose2d"])
def test_as_in_pytorch(name):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    settings = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    settings |= {"output_padding": 1} if name == "ConvTranspose2d" else {}
    ours, theirs = getattr(nn, name)(4, 6, 3, **settings), getattr(torch.nn, name)(4, 6, 3, **settings)
    sizes = (9,) if name == "Conv1d" else (9, 8)
    x = np.random.default_rng(0).normal(size=(2, *sizes, 4)).astype("f")
    w = ours.w.numpy()
    last, order = w.ndim - 1, (w.ndim - 2, w.ndim - 1) if name == "ConvTranspose2d" else (w.ndim - 1, w.ndim - 2)
    with torch.no_grad():
        theirs.weight.copy_(torch.from_numpy(w.transpose(*order, *range(last - 1)).copy()))
        theirs.bias.copy_(torch.from_numpy(ours.b.numpy().copy()))
        y = torch.movedim(theirs(torch.movedim(torch.from_numpy(x), -1, 1)), 1, -1).numpy()
    np.testing.assert_allclose(ours(xpnn.tensor(x)).numpy(), y, rtol=1e-4, atol=1e-5)
