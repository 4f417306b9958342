"""Checkpoints: one safetensors file with the arrays, and in its header the JSON that says what they are.

One file, so that weights, optimizer state and position can never be of two moments: it is written beside its target,
synced, and renamed over it. All of it is under a SHA-256, because safetensors itself does not notice a flipped bit.

arrays   model/NAME, optimizer/NAME, callback/I/NAME
header   {"xpnn": {"format": 1, "version", "model", "input", "trainer", "sha256"}} as one JSON string, without NaN and
         infinities; where training met some, {"xpnn.float": "nan"}, "inf" or "-inf" stands in "trainer"
sha256   of the header without this entry, as canonical JSON, and then of each array by name
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from xpnn import nn
from xpnn.data.files import AnyPath, write_whole
from xpnn.errors import CheckpointError, ConfigError, DataError, ShapeError
from xpnn.nn.config import outline

FORMAT = 1
DTYPES = ("F16", "F32", "F64", "I8", "I16", "I32", "I64", "U8", "U16", "U32", "U64", "BOOL", "C64")
"""What NumPy has too: safetensors knows more."""
MOST_NESTED = 200
"""Lists and objects of the header inside each other: four times what the deepest model needs."""
NOT_FINITE = "xpnn.float"


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
    from safetensors import SafetensorError  # keeps `import xpnn` light
    from safetensors.numpy import save as to_bytes

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
        "trainer": _without_special(trainer),
    }
    try:
        header = _parse(json.dumps(header, allow_nan=False))  # as reading will find it, or an error now
        header["sha256"] = _digest(arrays, header)
        content = to_bytes(arrays, metadata={"xpnn": json.dumps(header)})
    except (TypeError, ValueError, RecursionError, SafetensorError) as error:
        raise CheckpointError(f"{path}: cannot be written: expected plain data and arrays; {_line(error)}") from None
    try:
        write_whole(path, [content])
    except DataError as error:
        raise CheckpointError(str(error)) from None
    return Path(path)


def read(path: AnyPath) -> Contents:
    """The checked contents of a checkpoint; CheckpointError for what is missing, damaged or of another program."""
    from safetensors import SafetensorError, safe_open

    def bad(why: object) -> CheckpointError:
        return CheckpointError(f"{path}: not a checkpoint of xpnn, or damaged: {_line(why)}")

    try:
        if not Path(path).is_file():
            raise CheckpointError(f"{path}: expected a checkpoint file; there is none")
        # The library checks the header against the file's size before it touches any array.
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            names = list(file.keys())
            foreign = {kind for name in names if (kind := file.get_slice(name).get_dtype()) not in DTYPES}
            if foreign:
                raise bad(f"expected arrays of {', '.join(DTYPES)}; got {', '.join(sorted(foreign))}")
            arrays = {name: file.get_tensor(name) for name in names}
    except CheckpointError:
        raise
    except (SafetensorError, OSError, ValueError, TypeError, KeyError) as error:
        raise bad(error) from None
    except MemoryError:
        raise CheckpointError(f"{path}: its arrays need more than the free memory") from None
    try:
        header = _parse(metadata["xpnn"])
        if header["format"] != FORMAT:
            theirs = _line(header["format"])
            raise CheckpointError(f"{path}: expected checkpoint format {FORMAT}; got {theirs}. Update xpnn")
        if header.pop("sha256") != _digest(arrays, header):
            raise bad("the contents do not match their checksum")
        parts: dict[str, dict[str, np.ndarray]] = {"model": {}, "optimizer": {}, "callback": {}}
        for name, array in arrays.items():
            part, _, rest = name.partition("/")
            parts[part][rest] = array
        trainer, described = header["trainer"], header["model"]
        if not all(isinstance(entry, (dict, type(None))) for entry in (trainer, described, header["input"])):
            raise bad("a header entry is not an object")
        trainer = _with_special(trainer)
        return Contents(**parts, description=described, input=header["input"] or {}, trainer=trainer)
    except CheckpointError:
        raise
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise bad(f"{type(error).__name__} {error} in its header") from None


def load(path: AnyPath, into: nn.Module | None = None) -> nn.Module:
    """The model of a checkpoint, on the backend in use; or its weights in a model of your own (`into`), where it lives.

    A model that is built here evaluates, as `fit` leaves one: no dropout, running statistics. `fit` trains it further
    as it is, a loop of your own after `model.train()`.

    What is checked, in this order: the file is safetensors and holds all the bytes that it announces; its header is
    JSON of this format, with finite numbers; header and arrays match their SHA-256, so a flipped bit anywhere is
    noticed (not a forgery: the sum is no signature); the layers are known and their parameters and buffers, worked out
    from their settings, are exactly the file's arrays. Only then is a model built or `into` changed: all or nothing.
    Nothing in the file is ever run, and memory in proportion to the file's size is all that it can make `load` take.

    Raises CheckpointError when the file is damaged, does not fit, or holds a model that must be given as `into`.
    """
    return restore(path, read(path), into)


def restore(path: AnyPath, contents: Contents, into: nn.Module | None = None) -> nn.Module:
    """`load` from contents that were read already."""
    if into is None and contents.description is None:
        raise CheckpointError(f"{path}: holds a model of its author's own; build it and use load(path, into=model)")
    try:
        model = _build(contents).eval() if into is None else into
        model.load_state(contents.model)
        model.input_format = contents.input
    except (ConfigError, ShapeError) as error:
        raise CheckpointError(f"{path}: does not fit: {_line(error)}") from None
    return model


def _build(contents: Contents) -> nn.Module:
    """The described model, once it is certain that its weights are there."""
    promised = {
        name: (kind, shape) for name, (kind, shape) in outline(contents.description).items() if shape is not None
    }
    if promised.keys() != contents.model.keys():
        missing, unknown = sorted(promised.keys() - contents.model.keys()), sorted(contents.model.keys() - promised)
        raise ShapeError(f"the described model and the arrays differ: missing {missing}, unknown {unknown}")
    dtypes = set()
    for name, (kind, shape) in promised.items():
        a = contents.model[name]
        right = a.dtype.kind == "f" if kind == "parameter" else a.dtype.name == kind
        if a.shape != shape or not right:
            raise ShapeError(f"{name}: expected {kind} {shape} of the described model; got {a.dtype} {a.shape}")
        if kind == "parameter":
            dtypes.add(a.dtype)
    if len(dtypes) > 1:
        raise ShapeError(f"expected parameters of one dtype; got {', '.join(sorted(map(str, dtypes)))}")
    model = nn.build(contents.description)
    for dtype in dtypes:
        model.astype(dtype)
    return model


# The header -----------------------------------------------------------------------------------------------------------


def _parse(text: str) -> Any:
    """JSON as the standard has it, with numbers that a float can hold, and not too deep to walk; ValueError else."""
    header = json.loads(text, parse_constant=_finite, parse_float=_finite, parse_int=_whole)
    level: list[Any] = [header] if isinstance(header, (dict, list)) else []
    depth = 0
    while level:
        if (depth := depth + 1) > MOST_NESTED:
            raise ValueError(f"expected at most {MOST_NESTED} levels; got more")
        inside = [entry.values() if isinstance(entry, dict) else entry for entry in level]
        level = [entry for entries in inside for entry in entries if isinstance(entry, (dict, list))]
    return header


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"expected finite numbers; got {text}")
    return value


def _whole(text: str) -> int:
    _finite(text)  # what overflows a float overflows its users too
    return int(text)


def _without_special(entry: Any) -> Any:
    """The entry with stand-ins for NaN and infinities (a diverged validation loss in the history): JSON has none."""
    if isinstance(entry, float) and not math.isfinite(entry):
        return {NOT_FINITE: str(float(entry))}
    if isinstance(entry, dict):
        return {key: _without_special(value) for key, value in entry.items()}
    return [_without_special(value) for value in entry] if isinstance(entry, (list, tuple)) else entry


def _with_special(entry: Any) -> Any:
    if isinstance(entry, dict):
        if entry.keys() == {NOT_FINITE} and entry[NOT_FINITE] in ("nan", "inf", "-inf"):
            return float(entry[NOT_FINITE])
        return {key: _with_special(value) for key, value in entry.items()}
    return [_with_special(value) for value in entry] if isinstance(entry, list) else entry


def _digest(arrays: dict[str, np.ndarray], header: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True, separators=(",", ":")).encode())
    for name in sorted(arrays):
        a = arrays[name]
        digest.update(f"{name} {a.dtype.str} {a.shape};".encode())
        digest.update(np.ascontiguousarray(a).data)
    return digest.hexdigest()


def _line(why: object) -> str:
    """One line that any terminal can show, whatever a file put into it."""
    text = "".join(c if c.isprintable() else " " for c in str(why))
    return text if len(text) <= 1000 else f"{text[:500]} ... {text[-500:]}"
