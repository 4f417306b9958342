"""The stand-in for CuPy: how it takes the place of the real one, and the backend that tests use on it."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

from cuda_cpu import build
from xpnn.backends.cupy import CupyBackend, module, namespace
from xpnn.core import backend as backends
from xpnn.core.contract import Backend
from xpnn.errors import BackendError

FILE = Path(__file__).parents[1] / "backends" / "fake_cupy.py"
NAMES = ("cuda", "cuda.device", "linalg", "fft")


def load() -> ModuleType:
    """A fresh one."""
    spec = importlib.util.spec_from_file_location("cupy", FILE)
    fake = importlib.util.module_from_spec(spec)
    with _modules(fake):
        spec.loader.exec_module(fake)
    return fake


@contextmanager
def _modules(fake: ModuleType) -> Iterator[None]:
    """`import cupy` gives the fake inside the block; nothing of it stays behind."""
    found: dict[str, Any] = {"cupy": fake}
    for name in NAMES:
        value: Any = fake
        for part in name.split("."):
            value = getattr(value, part, None)
        found[f"cupy.{name}"] = value
    before = {name: sys.modules.pop(name) for name in list(sys.modules) if _concerns(name)}
    sys.modules.update(found)
    try:
        yield
    finally:  # what else was imported meanwhile stays
        for name in [name for name in sys.modules if _concerns(name)]:
            del sys.modules[name]
        sys.modules.update(before)


def _concerns(name: str) -> bool:
    """Is this module CuPy's, or the compatibility layer's for it?"""
    return name.split(".")[0] == "cupy" or name.split(".")[:2] == ["array_api_compat", "cupy"]


@contextmanager
def installed(fake: ModuleType) -> Iterator[ModuleType]:
    """xpnn runs on this stand-in inside the block, with no kernel compiled yet and no backend made."""
    others = {key: place for key, place in backends._instances.items() if key[0] != "cupy"}
    with (
        _modules(fake),
        mock.patch.object(backends, "_instances", others),
        mock.patch.object(module, "_compiled", {}),
        mock.patch.object(module, "_found", {}),
    ):
        yield fake


class Place:
    """Where the CUDA backend is tested: a real GPU where there is one, else the stand-in, else nowhere and why.

    XPNN_TEST_GPU=1 insists on a real one.
    """

    def __init__(self) -> None:
        self.backend: Backend | None = None
        self.fake: ModuleType | None = None
        self.why_not = build.missing()
        self.caches: dict[str, dict[Any, Any]] = {"_compiled": {}, "_found": {}}  # kernels are of one stand-in
        try:
            self.backend, self.why_not = backends.get("cupy"), None
        except BackendError as error:
            if os.environ.get("XPNN_TEST_GPU") == "1":
                raise RuntimeError(f"XPNN_TEST_GPU=1, and there is no GPU: {error}") from None
            if self.why_not is None:
                self.fake = load()
                with _modules(self.fake):
                    # number 1 of 2, so that work on the current GPU instead of the array's shows
                    self.backend = CupyBackend(self.fake, namespace(self.fake), 1)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside the block kernels find their CuPy. What they compiled stays for the next test."""
        if self.fake is None:
            yield
            return
        with _modules(self.fake), mock.patch.multiple(module, **self.caches):
            yield
        self.fake.transfers.clear()
        for made in self.fake.cuda.RawModule.made:
            made.launches.clear()
