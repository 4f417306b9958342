"""How many kernels are launched, on the stand-in: in a CUDA graph each of them is a node, and costs as one."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from cuda_cpu import build
from xpnn import nn, optim

pytestmark = pytest.mark.skipif(build.missing() is not None, reason=str(build.missing()))


def launched(cupy):
    """The kernels launched since the last look."""
    names = [name for made in cupy.cuda.RawModule.made for name, *_ in made.launches]
    for made in cupy.cuda.RawModule.made:
        made.launches.clear()
    return sorted(name.partition("<")[0] for name in names)


def layer(gpu, N, I, O, activation):
    x = xpnn.tensor(np.ones((N, I), "f4"), backend=gpu)
    x.requires_grad = True
    return x, nn.Dense(I, O, activation=activation).to(gpu)


@pytest.mark.parametrize("activation", [None, "relu", "tanh", "leaky_relu"])
def test_a_layer_is_one_launch_each_way(gpu, cupy, activation):
    x, dense = layer(gpu, 64, 96, 10, activation)
    y = dense(x)
    assert launched(cupy) == ["forward"]
    y.backward(xpnn.tensor(np.ones((64, 10), "f4"), backend=gpu))
    assert launched(cupy) == ["backward"]


def test_an_activation_with_a_long_derivative_is_one_more(gpu, cupy):
    x, dense = layer(gpu, 4, 6, 5, "gelu")
    y = dense(x)
    assert launched(cupy) == ["forward"]
    y.backward(xpnn.tensor(np.ones((4, 5), "f4"), backend=gpu))
    assert launched(cupy) == ["backward", "backward"]


def test_the_gradient_of_a_loss_is_made_with_it(gpu, cupy):
    """Where the loss is what backward begins with; scaled, or of a leaf, it is a launch."""
    labels = xpnn.tensor(np.array([1, 0, 2]), backend=gpu)
    w = xpnn.Parameter(gpu.from_host(np.arange(12, dtype="f4").reshape(3, 4)), gpu)

    def gradient(of):
        w.zero_grad()
        launched(cupy)
        of().backward()
        return w.grad.numpy().copy(), launched(cupy).count("scaled")

    leaf, one = gradient(lambda: xpnn.ops.cross_entropy(w, labels))
    inner, none = gradient(lambda: xpnn.ops.cross_entropy(w * 1.0, labels))
    scaled, again = gradient(lambda: xpnn.ops.cross_entropy(w * 1.0, labels) * 2.0)
    assert (one, none, again) == (1, 0, 1)
    np.testing.assert_array_equal(inner, leaf)
    np.testing.assert_array_equal(scaled, 2 * leaf)


def test_a_step_of_the_mlp(gpu, cupy):
    """784-300-10, ReLU, cross-entropy, Adam: nothing by CuPy's own kernels."""
    layers = nn.Dense(784, 300, activation="relu"), nn.Dense(300, 10)
    model = nn.Sequential(*layers).to(gpu)
    optimizer = optim.Adam(model, lr=1e-3)
    rng = np.random.default_rng(0)
    x = xpnn.tensor(rng.normal(size=(64, 784)).astype("f4"), backend=gpu)
    labels = xpnn.tensor(rng.integers(0, 10, 64), backend=gpu)
    for _ in range(2):  # the first one makes the arena
        launched(cupy)
        loss = xpnn.ops.cross_entropy(model(x), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    names = launched(cupy)
    assert names == ["backward", "backward", "forward", "forward", "labels", "step"]


def test_a_residual_sum_passes_its_gradient_on(gpu, cupy):
    x, y = (xpnn.tensor(np.ones((4, 6), "f4"), backend=gpu) for _ in range(2))
    x.requires_grad = y.requires_grad = True
    x, y = x.exp(), y.exp()
    z = (x + y).exp()
    launched(cupy)
    z.backward(xpnn.tensor(np.ones((4, 6), "f4"), backend=gpu))
    assert launched(cupy) == ["unary_back"] * 3


def test_the_gradient_of_a_row_that_is_added_to_all(gpu, cupy):
    x, row = (xpnn.tensor(np.ones(shape, "f4"), backend=gpu) for shape in ((4, 6), (6,)))
    x.requires_grad = row.requires_grad = True
    z = x.exp() + row
    launched(cupy)
    z.backward(xpnn.tensor(np.ones((4, 6), "f4"), backend=gpu))
    assert launched(cupy) == ["gradient", "unary_back"]
    np.testing.assert_array_equal(row.grad.numpy(), np.full(6, 4.0))


def test_inference_writes_no_derivatives(gpu, cupy):
    x, conv = xpnn.tensor(np.ones((2, 6, 6, 8), "f4"), backend=gpu), nn.Conv2d(8, 16, 3, activation="tanh").to(gpu)

    def saved():
        conv(x)
        ((_, _, _, args, _),) = [launch for made in cupy.cuda.RawModule.made for launch in made.launches]
        launched(cupy)
        return isinstance(args[6], cupy.ndarray)

    launched(cupy)
    assert saved()
    with xpnn.no_grad():
        assert not saved()
    for parameter in conv.parameters():
        parameter.requires_grad = False
    assert not saved()
