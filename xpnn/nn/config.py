"""A model as plain data, and back: what lets a checkpoint be opened without the program that wrote it."""

from __future__ import annotations

from typing import Any

from xpnn.errors import ConfigError, unknown
from xpnn.nn.dense import Dense
from xpnn.nn.layers import Activation, Dropout, Flatten, Sequential
from xpnn.nn.module import Module

LAYERS: dict[str, type[Module]] = {cls.__name__: cls for cls in (Activation, Dense, Dropout, Flatten)}


def describe(module: Module) -> dict[str, Any] | None:
    """The module as JSON-able data; None for a model with modules or settings that only its own program knows.

    >>> from xpnn import nn
    >>> describe(nn.Sequential(nn.Flatten()))
    {'type': 'Sequential', 'layers': [{'type': 'Flatten'}]}
    """
    if type(module) is Sequential:
        layers = [describe(layer) for layer in module.layers]
        return None if None in layers else {"type": "Sequential", "layers": layers}
    name = type(module).__name__
    if LAYERS.get(name) is not type(module):
        return None
    config = module.config()
    plain = all(value is None or isinstance(value, (bool, int, float, str)) for value in config.values())
    return {"type": name, **config} if plain else None


def build(description: Any) -> Module:
    """The module that `describe` described, with fresh weights; ConfigError when it does not make sense."""
    if not isinstance(description, dict) or not isinstance(description.get("type"), str):
        raise ConfigError(f"model description: expected {{'type': ...}}; got {str(description)[:60]}")
    settings = {key: value for key, value in description.items() if key != "type"}
    name = description["type"]
    if name == "Sequential" and isinstance(settings.get("layers"), list):
        return Sequential(*[build(layer) for layer in settings["layers"]])
    if name not in LAYERS:
        raise unknown("model description: layer", name, LAYERS)
    try:
        return LAYERS[name](**settings)
    except TypeError as error:
        raise ConfigError(f"model description: {name}: {error}") from None
