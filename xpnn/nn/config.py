"""A model as plain data, and back: what lets a checkpoint be opened without the program that wrote it.

Between the two stands the outline: every module and tensor that a description promises, worked out from the settings
alone. It costs nothing, so it can be held against a model (was everything said?) or a file (can this be true?) first.
"""

from __future__ import annotations

import inspect
from typing import Any

from xpnn.errors import ConfigError, XpnnError, unknown
from xpnn.nn.attention import MultiHeadAttention
from xpnn.nn.conv import Conv1d, Conv2d, ConvTranspose2d
from xpnn.nn.dense import Dense
from xpnn.nn.embedding import Embedding
from xpnn.nn.gru import GRU
from xpnn.nn.layers import Activation, Dropout, Flatten, Sequential, SpatialDropout
from xpnn.nn.lstm import LSTM
from xpnn.nn.module import Held, Module
from xpnn.nn.norm import BatchNorm, GroupNorm, LayerNorm
from xpnn.nn.pool import AvgPool1d, AvgPool2d, GlobalAvgPool, GlobalMaxPool, MaxPool1d, MaxPool2d, Upsample
from xpnn.nn.rnn import RNN

MOST_NESTED = 32
"""Sequentials inside each other: more is nobody's network, and Python's stack has an end."""

LAYERS: dict[str, type[Module]] = {
    layer.__name__: layer
    for layer in (
        GRU,
        LSTM,
        RNN,
        Activation,
        AvgPool1d,
        AvgPool2d,
        BatchNorm,
        Conv1d,
        Conv2d,
        ConvTranspose2d,
        Dense,
        Dropout,
        Embedding,
        Flatten,
        GlobalAvgPool,
        GlobalMaxPool,
        GroupNorm,
        LayerNorm,
        MultiHeadAttention,
        MaxPool1d,
        MaxPool2d,
        SpatialDropout,
        Upsample,
    )
}
"""The layers that a description can name; `Module.holds` of each says which tensors follow from its settings."""


def describe(module: Module) -> dict[str, Any] | None:
    """The module as JSON-able data; None for a model that `build` could not give back exactly.

    That is one with modules, tensors or settings that only its own program knows, with tensors in more than one place
    (tied weights), with a `forward` of its own, with parameters of several dtypes, or with Sequentials nested too deep.

    >>> from xpnn import nn
    >>> describe(nn.Sequential(nn.Flatten()))
    {'type': 'Sequential', 'layers': [{'type': 'Flatten'}]}
    """
    description = _settings(module)
    if description is None or len({p.dtype for p in module.parameters()}) > 1:
        return None
    buffers = dict(module.named_buffers())
    if len({id(t) for t in buffers.values()}) < len(buffers):
        return None
    found: Held = {}
    for name, part in module.named_modules():
        if "forward" in vars(part):
            return None
        found[name] = type(part).__name__, None
    found |= {name: ("parameter", p.shape) for name, p in module.named_parameters()}  # a tied one comes only once
    found |= {name: (t.dtype.name, t.shape) for name, t in buffers.items()}
    try:
        return description if outline(description) == found else None
    except ConfigError:  # an attribute was changed to what its constructor would refuse
        return None


def _settings(module: Any, depth: int = 0) -> dict[str, Any] | None:
    if type(module) is Sequential:
        if depth >= MOST_NESTED:
            return None
        layers = [_settings(layer, depth + 1) for layer in module.layers]
        return None if None in layers else {"type": "Sequential", "layers": layers}
    name = type(module).__name__
    if name not in LAYERS or LAYERS[name] is not type(module):
        return None
    config = {key: _listed(value) for key, value in module.config().items()}
    return {"type": name, **config} if all(_plain(value) for value in config.values()) else None


def _listed(value: Any) -> Any:
    """JSON has lists only: what a layer takes as a tuple it takes as a list too."""
    return [_listed(entry) for entry in value] if isinstance(value, (tuple, list)) else value


def _plain(value: Any) -> bool:
    if isinstance(value, list):
        return all(_plain(entry) for entry in value)
    return value is None or isinstance(value, (bool, int, float, str))


def outline(description: Any, prefix: str = "", depth: int = 0) -> Held:
    """What the described model would hold, by name, without building it; ConfigError for what is no description."""
    if not isinstance(description, dict) or not isinstance(description.get("type"), str):
        raise ConfigError(f"model description: expected {{'type': ...}}; got {type(description).__name__}")
    name = description["type"]
    settings = {key: value for key, value in description.items() if key != "type"}
    held: Held = {prefix.removesuffix("."): (name, None)}
    if name == "Sequential":
        if settings.keys() != {"layers"} or not isinstance(settings["layers"], list):
            raise ConfigError(f"model description: Sequential: expected a list 'layers' alone; got {sorted(settings)}")
        if depth >= MOST_NESTED:
            raise ConfigError(f"model description: expected at most {MOST_NESTED} nested Sequentials; got more")
        for i, layer in enumerate(settings["layers"]):
            held |= outline(layer, f"{prefix}layers.{i}.", depth + 1)
        return held
    if name not in LAYERS:
        raise unknown("model description: layer", name, ["Sequential", *LAYERS])
    layer = LAYERS[name]
    try:
        arguments = inspect.signature(layer).bind(**settings)
    except TypeError as error:
        raise ConfigError(f"model description: {name}: {error}") from None
    arguments.apply_defaults()
    try:
        tensors = layer.holds(**arguments.arguments)
    except XpnnError as error:
        raise ConfigError(f"model description: {error}") from None
    for tensor_name, (kind, shape) in tensors.items():
        if not all(type(size) is int and size >= 1 for size in shape or ()):
            raise ConfigError(f"model description: {name}: expected sizes >= 1; got {shape} for {tensor_name}")
        held[prefix + tensor_name] = kind, shape
    return held


def build(description: Any) -> Module:
    """The module that `describe` described, with fresh weights; ConfigError when it does not make sense.

    This allocates what the description says. Hold the `outline` of one that came from outside against its arrays first.
    """
    outline(description)
    return _build(description)


def _build(description: dict[str, Any]) -> Module:
    settings = {key: value for key, value in description.items() if key != "type"}
    name = description["type"]
    if name == "Sequential":
        return Sequential(*[_build(layer) for layer in settings["layers"]])
    try:
        return LAYERS[name](**settings)
    except TypeError as error:
        raise ConfigError(f"model description: {name}: {error}") from None
