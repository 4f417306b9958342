"""Headers of checkpoints: read, and written with whatever a test wants them to say."""

from __future__ import annotations

import json

import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from xpnn.errors import CheckpointError
from xpnn.train import checkpoint as files


def header_of(path):
    with safe_open(path, framework="numpy") as file:
        return file.metadata()["xpnn"]


def forge(path, arrays, header):
    """A file whose checksum is right, whatever it says."""
    header = {**header, "sha256": files._digest(arrays, header)}
    save_file(arrays, path, metadata={"xpnn": json.dumps(header)})


def refused(call, *args, **settings):
    """The message of the CheckpointError, which is one line."""
    with pytest.raises(CheckpointError) as caught:
        call(*args, **settings)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 2000
    return message
