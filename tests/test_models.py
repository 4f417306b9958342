"""The networks that have a name: their layers, their parameters, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest

import xpnn
from xpnn import models, nn
from xpnn.errors import ShapeError


def layers(model):
    return [type(layer).__name__ for layer in model]


def parameters(model):
    return sum(p.size for p in model.parameters())


def test_mlp():
    model = models.mlp((28, 28, 1), 10)
    assert layers(model) == ["Flatten", "Dense", "Dense"]
    assert parameters(model) == 785 * 300 + 301 * 10
    assert layers(models.mlp((5,), 3, hidden=())) == ["Flatten", "Dense"]
    deep = models.mlp((5,), 3, hidden=(4, 6), activation="tanh", dropout=0.1, output="sigmoid")
    assert layers(deep) == ["Flatten", "Dense", "Dropout", "Dense", "Dropout", "Dense"]
    assert [layer.activation for layer in deep if isinstance(layer, nn.Dense)] == ["tanh", "tanh", "sigmoid"]


def test_cnn():
    model = models.cnn((28, 28, 1), 10)
    assert layers(model) == [*("Conv2d", "Conv2d", "MaxPool2d", "Dropout", "Flatten", "Dense", "Dropout", "Dense")]
    assert [layer.rate for layer in model if isinstance(layer, nn.Dropout)] == [0.25, 0.5]
    assert parameters(model) == 10 * 32 + 289 * 64 + 9217 * 128 + 129 * 10


def test_lenet5_has_the_parameters_of_the_paper_where_all_channels_are_connected():
    assert parameters(models.lenet5((28, 28, 1), 10)) == 61_706


def test_char_lstm():
    model = models.char_lstm(65, hidden=32, layers=2, embedding=16, dropout=0.2, streams=4)
    assert layers(model) == ["Embedding", "LSTM", "Dropout", "Dense"]
    assert (model[1].stateful, model[1].dropout) == (4, 0.2)
    assert parameters(model) == 65 * 16 + (16 + 32 + 1) * 128 + (32 + 32 + 1) * 128 + 33 * 65


@pytest.mark.parametrize("name", ["mlp", "cnn", "lenet5"])
@pytest.mark.parametrize("shape", [(28, 28, 1), (12, 15, 3)])
def test_classifiers_take_their_images_and_can_be_described(name, shape):
    xpnn.seed(0)
    model = models.MODELS[name](shape, 7).eval()
    y = model(np.random.default_rng(0).random((3, *shape), np.float32))
    assert y.shape == (3, 7)
    again = nn.build(nn.describe(model)).eval()
    again.load_state(model.state())
    x = np.ones((2, *shape), np.float32)
    assert np.array_equal(again(x).numpy(), model(x).numpy())


def test_the_smallest_images():
    assert models.cnn((6, 6, 1), 2).eval()(np.ones((1, 6, 6, 1), np.float32)).shape == (1, 2)
    assert models.lenet5((12, 12, 1), 2)(np.ones((1, 12, 12, 1), np.float32)).shape == (1, 2)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("cnn", (784,), r"cnn: expected images \(H, W, C\); got samples \(784,\)\. An mlp takes any shape"),
        ("cnn", (5, 28, 1), "cnn: expected images of at least 6x6; got 5x28"),
        ("lenet5", (8, 8, 1), "lenet5: expected images of at least 12x12; got 8x8"),
    ],
)
def test_samples_that_do_not_fit(name, shape, message):
    with pytest.raises(ShapeError, match=message):
        models.MODELS[name](shape, 10)


def test_a_character_model_says_what_comes_next_for_every_character():
    model = models.char_lstm(5, hidden=8).eval()
    assert model(xpnn.tensor(np.array([[0, 1, 4], [2, 2, 2]]))).shape == (2, 3, 5)
