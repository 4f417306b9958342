"""The stand-in for CuPy, in the place of the real one for one test."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from xpnn.core import backend as backends


@pytest.fixture
def cupy(monkeypatch):
    """The fake, fresh: `xpnn` finds it as `cupy`, with two GPUs and nothing wrong."""
    spec = importlib.util.spec_from_file_location("cupy", Path(__file__).with_name("fake_cupy.py"))
    fake = importlib.util.module_from_spec(spec)
    for name in [name for name in sys.modules if name.split(".")[:2] == ["array_api_compat", "cupy"]]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "cupy", fake)
    spec.loader.exec_module(fake)
    for name in ("cuda", "cuda.device", "linalg", "fft"):
        value = fake
        for part in name.split("."):
            value = getattr(value, part)
        monkeypatch.setitem(sys.modules, f"cupy.{name}", value)
    monkeypatch.setattr(backends, "_instances", {k: v for k, v in backends._instances.items() if k[0] != "cupy"})
    yield fake
    for name in [name for name in sys.modules if name.split(".")[:2] == ["array_api_compat", "cupy"]]:
        del sys.modules[name]


@pytest.fixture
def gpu(cupy):
    place = backends.get("cuda:1")
    cupy.transfers.clear()
    return place
