"""Networks that have a name, with fresh weights: what `xpnn train --model NAME` builds, layer by layer.

Each is a Sequential of the layers of `xpnn.nn`, so it prints, saves and loads without this module. Images come as the
data sets give them, (N, H, W, C): `mlp` flattens them, the others begin with a convolution.

>>> from xpnn import models
>>> models.mlp((8, 8, 1), 10, hidden=(30,))
Sequential(Flatten(), Dense(in_features=64, out_features=30, activation='relu', bias=True, init='he_uniform'), \
Dense(in_features=30, out_features=10, bias=True, init='glorot_uniform'))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from xpnn import nn
from xpnn.errors import ShapeError

Shape = Sequence[int]


def mlp(
    shape: Shape,
    classes: int,
    hidden: Sequence[int] = (300,),
    activation: str = "relu",
    dropout: float = 0.0,
    output: str | None = None,
) -> nn.Sequential:
    """Dense layers one after the other, on samples of any shape.

    hidden      sizes of the layers before the last; none: a linear classifier
    activation  of the hidden layers
    dropout     share of each hidden layer's outputs that is dropped in training
    output      activation of the last layer; None for logits
    """
    return nn.Sequential(nn.Flatten(), *_head(prod(shape), classes, hidden, activation, dropout, output))


def cnn(
    shape: Shape,
    classes: int,
    hidden: Sequence[int] = (128,),
    activation: str = "relu",
    dropout: float = 0.5,
    output: str | None = None,
) -> nn.Sequential:
    """Two convolutions 3x3 of 32 and 64 channels, 2x2 max pooling, dense layers; 99.3 % on MNIST.

    shape    (H, W, C), H and W at least 6
    dropout  half of it after the pooling, all of it after each hidden layer

    Other arguments as for `mlp`. ShapeError for samples that are no images, or too small.
    """
    H, W, C = _need_image("cnn", shape, 6)
    spread = [nn.Dropout(dropout / 2)] if dropout else []
    return nn.Sequential(
        nn.Conv2d(C, 32, 3, activation=activation),
        nn.Conv2d(32, 64, 3, activation=activation),
        nn.MaxPool2d(2),
        *spread,
        nn.Flatten(),
        *_head((H - 4) // 2 * ((W - 4) // 2) * 64, classes, hidden, activation, dropout, output),
    )


def lenet5(shape: Shape, classes: int, activation: str = "relu", output: str | None = None) -> nn.Sequential:
    """LeNet-5 as it is built today: 61,706 parameters for 28x28x1 and 10 classes.

    convolution 5x5 to 6 channels (padded by 2, for 28x28 where the paper has 32x32), pooling, convolution 5x5 to 16,
    pooling, dense 120, 84, classes. Max pooling, ReLU, all channels connected and logits stand where the paper has
    trained subsampling, a scaled tanh, a table of connections and radial basis functions. LeCun, Bottou, Bengio and
    Haffner, Proc. IEEE 86 (1998), section II.B.

    shape  (H, W, C), H and W at least 12

    ShapeError for samples that are no images, or too small.
    """
    H, W, C = _need_image("lenet5", shape, 12)
    inputs = (H // 2 - 4) // 2 * ((W // 2 - 4) // 2) * 16
    return nn.Sequential(
        nn.Conv2d(C, 6, 5, padding=2, activation=activation),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, activation=activation),
        nn.MaxPool2d(2),
        nn.Flatten(),
        *_head(inputs, classes, (120, 84), activation, 0.0, output),
    )


def char_lstm(
    characters: int, hidden: int = 256, layers: int = 1, embedding: int = 64, dropout: float = 0.0, streams: int = 0
) -> nn.Sequential:
    """Which character comes next: ids (N, T) to logits (N, T, characters).

    characters  size of the vocabulary
    hidden      units of each LSTM layer
    embedding   numbers that stand for a character
    dropout     share dropped in training between the LSTM layers and before the last layer
    streams     N: in training batches of N continue each other, and the state is carried on; 0: each begins anew

    `xpnn.data.read_text` makes such batches, and `xpnn.sampling.sample` writes with the trained network. Karpathy, "The
    unreasonable effectiveness of recurrent neural networks" (2015); Graves, arXiv:1308.0850 (2013), section 3.
    """
    between = dropout if layers > 1 else 0.0
    return nn.Sequential(
        nn.Embedding(characters, embedding),
        nn.LSTM(embedding, hidden, layers, dropout=between, stateful=streams),
        *([nn.Dropout(dropout)] if dropout else []),
        nn.Dense(hidden, characters),
    )


def _head(
    inputs: int, classes: int, hidden: Sequence[int], activation: str, dropout: float, output: str | None
) -> list[nn.Module]:
    """The dense layers that a classifier ends with."""
    layers: list[nn.Module] = []
    for size in hidden:
        layers.append(nn.Dense(inputs, size, activation=activation))
        if dropout:
            layers.append(nn.Dropout(dropout))
        inputs = size
    return [*layers, nn.Dense(inputs, classes, activation=output)]


def _need_image(name: str, shape: Shape, least: int) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise ShapeError(f"{name}: expected images (H, W, C); got samples {tuple(shape)}. An mlp takes any shape")
    H, W, C = shape
    if min(H, W) < least:
        raise ShapeError(
            f"{name}: expected images of at least {least}x{least}; got {H}x{W}. A smaller network fits them"
        )
    return H, W, C


MODELS: dict[str, Callable[..., nn.Sequential]] = {
    model.__name__.replace("_", "-"): model for model in (mlp, cnn, lenet5, char_lstm)
}
"""Every network by the name that `xpnn train --model` takes."""
