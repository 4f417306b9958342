"""Models as data: what is described comes back exactly, and everything else is None."""

from __future__ import annotations

import json

import numpy as np
import pytest

import xpnn
from xpnn import nn
from xpnn.errors import ConfigError
from xpnn.nn import config
from xpnn.nn.module import parameter

EXAMPLES = {
    "Activation": [nn.Activation("softmax")],
    "Conv1d": [nn.Conv1d(3, 4, 5), nn.Conv1d(4, 2, 3, 2, (2, 0), 2, 2, "relu", False)],
    "Conv2d": [nn.Conv2d(1, 2, 3, activation="relu"), nn.Conv2d(4, 6, (3, 2), 2, ((1, 0), (0, 1)), groups=2)],
    "ConvTranspose2d": [nn.ConvTranspose2d(3, 2, 2), nn.ConvTranspose2d(4, 6, (3, 2), 2, 1, 1, groups=2, bias=False)],
    "AvgPool1d": [nn.AvgPool1d(2), nn.AvgPool1d(3, 1, (1, 0))],
    "AvgPool2d": [nn.AvgPool2d(2), nn.AvgPool2d((3, 2), 1, ((1, 0), (0, 1)))],
    "BatchNorm": [nn.BatchNorm(3), nn.BatchNorm(2, 0.5, 1e-3)],
    "Dense": [nn.Dense(3, 4), nn.Dense(1, 2, activation="relu", bias=False, init="normal"), nn.Dense(2, 2, "step")],
    "Dropout": [nn.Dropout(), nn.Dropout(0.25)],
    "Embedding": [nn.Embedding(5, 3), nn.Embedding(2, 1, "zeros")],
    "Flatten": [nn.Flatten()],
    "GRU": [nn.GRU(3, 4), nn.GRU(3, 2, bidirectional=True, layers=2), nn.GRU(3, 2, stateful=2)],
    "GlobalAvgPool": [nn.GlobalAvgPool()],
    "GlobalMaxPool": [nn.GlobalMaxPool()],
    "GroupNorm": [nn.GroupNorm(6, 3), nn.GroupNorm(4, 1, 1e-3)],
    "LSTM": [nn.LSTM(3, 4), nn.LSTM(1, 2, 3, True, 0.5, "last"), nn.LSTM(3, 2, layers=2, stateful=3)],
    "LayerNorm": [nn.LayerNorm(3), nn.LayerNorm(2, 1e-3)],
    "MaxPool1d": [nn.MaxPool1d(2), nn.MaxPool1d(3, 2, "same")],
    "MaxPool2d": [nn.MaxPool2d(2), nn.MaxPool2d((3, 2), (2, 1), "same")],
    "MultiHeadAttention": [nn.MultiHeadAttention(4, 2), nn.MultiHeadAttention(3, 1, causal=True, bias=False)],
    "RNN": [nn.RNN(3, 4), nn.RNN(1, 2, activation="relu", layers=2, dropout=0.1)],
    "SpatialDropout": [nn.SpatialDropout(), nn.SpatialDropout(0.25)],
    "Upsample": [nn.Upsample(2), nn.Upsample((2, 3), "bilinear")],
}


@pytest.mark.parametrize("name", config.LAYERS)
def test_every_layer_comes_back_and_its_outline_is_what_it_holds(name):
    for layer in EXAMPLES[name]:
        for model in (layer, nn.Sequential(nn.Dense(2, 3), nn.Sequential(layer), nn.Flatten()).eval()):
            description = nn.describe(model)
            assert description is not None
            again = nn.build(json.loads(json.dumps(description)))
            assert nn.describe(again) == description
            held = {n: (shape, kind) for n, (kind, shape) in config.outline(description).items() if shape is not None}
            parameters = {n: (p.shape, "parameter") for n, p in again.named_parameters()}
            assert held == parameters | {n: (t.shape, t.dtype.name) for n, t in again.named_buffers()}
            again.load_state(model.state())


def test_a_layer_without_state_may_stand_twice():
    relu = nn.Activation("relu")
    assert nn.describe(nn.Sequential(nn.Dense(2, 2), relu, nn.Dense(2, 2), relu)) is not None


def tied_layer():
    layer = nn.Dense(2, 2)
    return nn.Sequential(layer, layer)


def tied_parameter():
    model = nn.Sequential(nn.Dense(2, 2), nn.Dense(2, 2))
    model[1].w = model[0].w
    return model


def tied_buffer():
    dropout = nn.Dropout()
    return nn.Sequential(nn.Dense(2, 2), dropout, nn.Dense(2, 2), dropout)


def with_(name, value, make=lambda: nn.Sequential(nn.Dense(2, 2))):
    def build():
        model = make()
        setattr(model, name, value())
        return model

    return build


def dense():
    return nn.Dense(2, 2)


def mixed_dtypes():
    return nn.Sequential(nn.Dense(2, 2), nn.Dense(2, 2).astype("float64"))


def nested():
    model = nn.Sequential(dense())
    for _ in range(400):
        model = nn.Sequential(model)
    return model


def itself():
    model = nn.Sequential(dense())
    model.layers.append(model)
    return model


REFUSED = {
    "tied layer": tied_layer,
    "tied parameter": tied_parameter,
    "tied buffer": tied_buffer,
    "module beside the layers": with_("head", dense),
    "module without weights beside the layers": with_("head", nn.Flatten),
    "parameter beside the layers": with_("gain", lambda: parameter((2,), "ones")),
    "buffers beside the layers": with_("seen", lambda: {"a": [xpnn.tensor([1.0])]}),
    "parameter in a layer": with_("gain", lambda: parameter((2,), "ones"), dense),
    "module in a layer": with_("inner", nn.Flatten, dense),
    "another shape": with_("w", lambda: parameter((2, 5), "ones"), dense),
    "bias taken away": with_("b", lambda: None, dense),
    "bias that is not trained": with_("b", lambda: xpnn.tensor(np.zeros(2, np.float32)), dense),
    "forward of its own": with_("forward", lambda: abs),
    "size that is no size": with_("in_features", lambda: -2, dense),
    "initialiser that is a function": lambda: nn.Dense(2, 2, init=nn.init.uniform()),
    "layer of its own": lambda: nn.Sequential(type("Dense", (nn.Dense,), {})(2, 2)),
    "mixed dtypes": mixed_dtypes,
    "nested": nested,
    "itself": itself,
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED)
def test_what_could_not_be_built_again_is_not_described(make):
    assert nn.describe(make()) is None


def sequential(depth, inner):
    for _ in range(depth):
        inner = {"type": "Sequential", "layers": [inner]}
    return inner


def test_as_deep_as_it_may_be():
    deepest = sequential(config.MOST_NESTED, {"type": "Flatten"})
    assert nn.describe(nn.build(deepest)) == deepest
    assert nn.describe(nn.Sequential(nn.build(deepest))) is None


@pytest.mark.parametrize(
    ("description", "message"),
    [
        (None, "expected {'type': ...}; got NoneType"),
        ({"type": 3}, "expected {'type': ...}"),
        ({"type": "Sequential"}, "Sequential: expected a list 'layers' alone"),
        ({"type": "Sequential", "layers": [], "name": "a"}, "expected a list 'layers' alone"),
        ({"type": "Sequential", "layers": {}}, "expected a list 'layers' alone"),
        ({"type": "Sequential", "layers": [[]]}, "got list"),
        ({"type": "Sequentia"}, "Did you mean 'Sequential'"),
        ({"type": "Flatten", "rate": 1}, "Flatten: got an unexpected keyword argument 'rate'"),
        ({"type": "Dense", "in_features": 3}, "Dense: missing a required argument: 'out_features'"),
        ({"type": "Dense", "in_features": 3, "out_features": "4"}, "Dense: expected sizes >= 1"),
        ({"type": "Dense", "in_features": 3.0, "out_features": 4}, "Dense: expected sizes >= 1"),
        ({"type": "Dense", "in_features": 0, "out_features": 4}, "Dense: expected sizes >= 1"),
        ({"type": "Dense", "in_features": 3, "out_features": 4, "activation": []}, "Dense: unhashable"),
        ({"type": "Dense", "in_features": 3, "out_features": 4, "init": {"a": 1}}, "Dense: unhashable"),
        ({"type": "Dropout", "rate": "a"}, "Dropout: "),
        ({"type": "Conv2d", "in_channels": "a", "out_channels": 2, "kernel_size": 3}, "Conv2d: in_channels: expected"),
        ({"type": "Conv2d", "in_channels": 1, "out_channels": 2, "kernel_size": [3]}, "Conv2d: expected kernel_size"),
        (
            {"type": "Conv1d", "in_channels": 3, "out_channels": 2, "kernel_size": 1, "groups": 2},
            "that groups=2 divides",
        ),
        (sequential(config.MOST_NESTED + 1, {"type": "Flatten"}), "at most 32 nested"),
        (sequential(3000, {"type": "Flatten"}), "at most 32 nested"),
    ],
)
def test_descriptions_that_make_no_sense(description, message):
    with pytest.raises(ConfigError, match="model description: |Dropout: ") as caught:
        nn.build(description)
    assert message in str(caught.value)


def test_config_builds_the_same_module():
    layer = nn.Dense(3, 4, activation="relu", bias=False)
    arguments = layer.config()
    expected = {"in_features": 3, "out_features": 4, "activation": "relu", "bias": False, "init": "he_uniform"}
    assert arguments == expected
    assert nn.Dense(**arguments).config() == expected
    assert nn.Dropout(0.25).config() == {"rate": 0.25}
    assert nn.Activation("tanh").config() == {"name": "tanh"}
    assert nn.Flatten().config() == {}


def test_config_of_a_module_that_does_not_keep_its_arguments():
    class Wide(nn.Module):
        def __init__(self, width):
            self.layer = nn.Dense(2, width)

    with pytest.raises(ConfigError, match=r"Wide\.config: expected an attribute 'width', as in __init__"):
        Wide(3).config()
