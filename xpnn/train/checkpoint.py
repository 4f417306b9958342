"""Checkpoints: one safetensors file with the arrays, and in its header the JSON that says what they are.

One file, so that weights, optimizer state and position can never be of two moments: it is written beside its target,
synced, and renamed over it. Arrays carry a SHA-256, because safetensors itself does not notice a flipped bit.

arrays   model/NAME, optimizer/NAME, callback/I/NAME
header   {"xpnn": {"format": 1, "version", "model", "input", "trainer", "sha256"}} as one JSON string
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnn import nn
from xpnn.data.files import AnyPath, write_whole
from xpnn.errors import CheckpointError, ConfigError, DataError, ShapeError

FORMAT = 1


class Contents(NamedTuple):
    """What a checkpoint holds, checked as far as that goes without a model."""

    model: dict[str, np.ndarray]
    optimizer: dict[str, np.ndarray]
    callback: dict[str, np.ndarray]
    description: dict[str, Any] | None
    """The model as `nn.describe` gave it; None for a model of the user's own making."""
    input: dict[str, Any]
    """What the network was fed: shape of a sample, scale, shift, classes."""
    trainer: dict[str, Any] | None
    """What `Trainer.state` gave; None when a model alone was saved."""


def save(model: nn.Module, path: AnyPath) -> Path:
    """Write the weights and buffers of a model (and, where it can be described, its layers) to a safetensors file.

    The file appears whole or not at all; one that was there before stays until then. Raises CheckpointError when the
    file cannot be written.
    """
    return write(path, model, {"model": model.state()}, None)


def write(
    path: AnyPath,
    model: nn.Module,
    parts: dict[str, dict[str, np.ndarray]],
    trainer: dict[str, Any] | None,
) -> Path:
    """`save` with everything that resuming needs; `parts` are the arrays by kind, "model" among them."""
    from safetensors.numpy import save as to_bytes  # keeps `import xpnn` light

    from xpnn import __version__

    arrays = {
        f"{part}/{name}": np.ascontiguousarray(a).reshape(a.shape)
        for part, entries in parts.items()
        for name, a in entries.items()
    }
    header = {
        "format": FORMAT,
        "version": __version__,
        "model": nn.describe(model),
        "input": model.input_format,
        "trainer": trainer,
        "sha256": _digest(arrays),
    }
    try:
        write_whole(path, [to_bytes(arrays, metadata={"xpnn": json.dumps(header)})])
    except DataError as error:
        raise CheckpointError(str(error)) from None
    return Path(path)


def read(path: AnyPath) -> Contents:
    """The checked contents of a checkpoint; CheckpointError for what is missing, damaged or of another program."""
    from safetensors import SafetensorError, safe_open

    def bad(why: object) -> CheckpointError:
        return CheckpointError(f"{path}: not a checkpoint of xpnn, or damaged: {why}")

    if not Path(path).is_file():
        raise CheckpointError(f"{path}: expected a checkpoint file; there is none")
    try:
        # The library checks the header against the file's size before it touches any array.
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise bad(error) from None
    try:
        header = json.loads(metadata["xpnn"])
        if header["format"] != FORMAT:
            raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}; got {header['format']}. Update xpnn")
        if header["sha256"] != _digest(arrays):
            raise bad("the arrays do not match their checksum")
        parts: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "callback": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = array
        trainer, described = header["trainer"], header["model"]
        if not all(isinstance(entry, (dict, type(None))) for entry in (trainer, described, header["input"])):
            raise bad("a header entry is not an object")
        return Contents(**parts, description=described, input=header["input"] or {}, trainer=trainer)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, CheckpointError):
            raise
        raise bad(f"{type(error).__name__} {error} in its header") from None


def load(path: AnyPath, into: nn.Module | None = None) -> nn.Module:
    """The model of a checkpoint, on the backend in use; or its weights in a model of your own (`into`), where it lives.

    Raises CheckpointError when the file is damaged, does not fit, or holds a model that must be given as `into`.
    """
    return restore(path, read(path), into)


def restore(path: AnyPath, contents: Contents, into: nn.Module | None = None) -> nn.Module:
    """`load` from contents that were read already."""
    if into is None and contents.description is None:
        raise CheckpointError(f"{path}: holds a model of its author's own; build it and use load(path, into=model)")
    try:
        model = nn.build(contents.description) if into is None else into
        if into is None:
            for dtype in {a.dtype for name, a in contents.model.items() if a.dtype.kind == "f"}:
                model.astype(dtype)
        model.load_state(contents.model)
        model.input_format = contents.input
    except (ConfigError, ShapeError) as error:
        raise CheckpointError(f"{path}: does not fit: {error}") from None
    return model


def _digest(arrays: dict[str, np.ndarray]) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype.str} {a.shape};".encode())
        digest.update(np.ascontiguousarray(a).data)
    return digest.hexdigest()
