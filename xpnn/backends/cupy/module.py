"""Compiles `xpnn_kernels/cuda/<stem>.cu` with NVRTC and hands out its kernels, once for each GPU.

CuPy keeps the compiled code on disk, under a key that leaves out the headers a source includes: the hash of all
sources goes along as a definition, so that an edited header is compiled anew.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from xpnn.backends.cupy import causes
from xpnn.backends.cupy.signature import Parameter, fit, parameters
from xpnn.errors import BackendError

STANDARD = ("-std=c++17",)


class Kernel:
    """One instantiation on one GPU: kernel(grid, block, args). Arguments are checked against the C++ signature."""

    __slots__ = ("array_type", "name", "parameters", "raw")

    def __init__(self, name: str, raw: Any, wanted: tuple[Parameter, ...], array_type: type) -> None:
        self.name, self.raw, self.parameters, self.array_type = name, raw, wanted, array_type

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        arguments = fit(self.name, self.parameters, args, self.array_type)
        self.raw(grid, block, arguments, shared_mem=shared_bytes)


Kernels = dict[str, Kernel]
_compiled: dict[Any, Kernels] = {}


def folder() -> Path:
    """Where the sources are, in a checkout and in an installed package alike."""
    return Path(str(resources.files("xpnn_kernels").joinpath("cuda")))


@cache
def _source(root: Path, stem: str) -> tuple[str, str]:
    """The text of a source, and one hash over it and every header beside it."""
    path = root / f"{stem}.cu"
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in root.glob("*.cu"))) or "none"
        raise BackendError(
            f"CUDA source {stem}.cu is missing from {root} (there: {known}); pip install --force-reinstall xpnn"
        )
    digest = hashlib.sha256()
    for part in (path, *sorted(root.glob("*.cuh"))):
        digest.update(part.read_bytes())
    return path.read_text(encoding="utf-8"), digest.hexdigest()[:16]


def load(
    stem: str,
    instantiations: Sequence[str],
    *,
    options: Sequence[str] = (),
    cooperative: bool = False,
    device: int = 0,
) -> Kernels:
    """The kernels {"adam<float>": Kernel} of a source, compiled now if they have not been for this GPU.

    instantiations: C++ name expressions, "adam<float>" of a template or "fill" of a plain kernel.
    options: for NVRTC, beside -std=c++17 and the folder of the kernels; cooperative: for grid-wide barriers.
    Raises BackendError: no such source or kernel, NVRTC missing, or the first error of the compiler.
    """
    text, digest = _source(folder(), stem)
    key = (stem, digest, tuple(instantiations), tuple(options), cooperative, device)
    if key not in _compiled:
        _compiled[key] = _compile(text, *key)
    return _compiled[key]


def _compile(text, stem, digest, instantiations, options, cooperative, device) -> Kernels:
    cupy = importlib.import_module("cupy")
    wanted = {name: parameters(text, name) for name in instantiations}
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # which one depends on how CuPy looks for it
        fix = causes.install(causes.driver(), "--force-reinstall ")
        raise BackendError(f"{stem}.cu: NVRTC, CUDA's compiler, is missing ({causes.brief(error)}); {fix}") from None
    with cupy.cuda.Device(device):
        module = cupy.RawModule(
            code=text,
            options=(*STANDARD, f"-I{folder()}", f"-DXPNN_SOURCES=0x{digest}", *options),
            name_expressions=instantiations,
            enable_cooperative_groups=cooperative,
        )
        try:
            return {
                name: Kernel(name, module.get_function(name), wanted[name], cupy.ndarray) for name in instantiations
            }
        except cupy.cuda.compiler.CompileException as error:
            raise BackendError(f"{stem}.cu does not compile: {_first_error(str(error))}") from None


def _first_error(log: str) -> str:
    """The line a compiler's log is about, without the file's own name before it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if re.search(r"\berror\b", line)), (lines or ["no log"])[0])[:300]
