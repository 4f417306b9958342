"""Compiles `xpnn_kernels/cuda/<stem>.cu` with NVRTC and hands out its kernels, once for each GPU.

CuPy keeps the compiled code on disk, from 14.2 on together with the names of instantiations (before, a source with
such names was compiled anew in every process), under a key of source, names, options, architecture and compiler. The
key leaves out the headers that a source includes: the hash of all of them is the source's last line, so that an edited
header is compiled anew. It is no option, as for each set of options CuPy compiles an empty program (30 ms) to learn of
the compiler: a start with a full cache does that once.

The first step of the convolutional network compiles 18 instantiations: 3.1 s of NVRTC 12.9 for sm_90, on one core of a
Zen 4, three quarters of it for products (conv 1.3 s, dense 0.6, conv_gradient 0.4); 20 ms is the least. With all that
their files have for float32 it would be 5.9 s; of the multilayer perceptron 0.9 s instead of 3.5. NVRTC compiles on
several threads at once, two take half the time, but a step meets its kernels one by one.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from xpnn.backends.cupy import causes
from xpnn.backends.cupy.signature import DTYPES, Parameter, fit, parameters
from xpnn.errors import BackendError

STANDARD = ("-std=c++17",)
REAL = ("float", "double")
INTEGER = ("int", "long long", "unsigned char")
INTEGER_DTYPES = tuple(np.dtype(DTYPES[name]) for name in INTEGER)
WHOLE_DTYPES = (*INTEGER_DTYPES, np.dtype(bool))
_CPP = {np.dtype(code): name for name, code in DTYPES.items() if name in (*REAL, *INTEGER, "bool")}


class Kernel:
    """One instantiation on one GPU: kernel(grid, block, args). Arguments are checked against the C++ signature."""

    __slots__ = ("array_type", "name", "parameters", "raw", "shared_bytes")

    def __init__(self, name: str, raw: Any, wanted: tuple[Parameter, ...], array_type: type) -> None:
        self.name, self.raw, self.parameters, self.array_type = name, raw, wanted, array_type
        self.shared_bytes = 0

    def call(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared_bytes: int = 0
    ) -> Callable[[], None]:
        """The launch, ready to be made any number of times; arguments are checked and converted here, once.

        shared_bytes: of dynamic shared memory; CUDA gives more than 48 KB to a kernel that asks for it beforehand.
        """
        if shared_bytes > max(48 << 10, self.shared_bytes):
            self.raw.max_dynamic_shared_size_bytes = self.shared_bytes = shared_bytes
        return partial(
            self.raw, grid, block, fit(self.name, self.parameters, args, self.array_type), shared_mem=shared_bytes
        )

    def __call__(
        self, grid: tuple[int, ...], block: tuple[int, ...], args: Sequence[Any], shared_bytes: int = 0
    ) -> None:
        self.call(grid, block, args, shared_bytes)()


_compiled: dict[Any, Kernel] = {}
_found: dict[Any, Kernel] = {}


class Source:
    """A .cu file, and every instantiation that its binding may ask for: the compile gate walks over them.

    kernels: for each kernel, what each of its template arguments may be; () for a plain one. An instantiation is
    compiled when it is asked for, by itself: of the sizes of tiles that there are, a network needs few.

    >>> Source("loss", {"labels": (REAL, ("int", "long long")), "count": ()}).instantiations
    ('labels<float, int>', 'labels<float, long long>', 'labels<double, int>', 'labels<double, long long>', 'count')
    """

    def __init__(
        self,
        stem: str,
        kernels: Mapping[str, Sequence[Sequence[Any]]],
        *,
        options: Sequence[str] = (),
        cooperative: bool = False,
    ) -> None:
        self.stem, self.options, self.cooperative = stem, tuple(options), cooperative
        self.instantiations = tuple(
            _expression(name, values) for name, axes in kernels.items() for values in product(*axes)
        )

    def kernel(self, name: str, *arguments: Any) -> Kernel:
        """The kernel on the current GPU. arguments: dtypes, or what else stands in the template's brackets.

        Raises BackendError for what was not declared, and as `load` does.
        """
        device = sys.modules["cupy"].cuda.runtime.getDevice()
        key = (self, device, name, *arguments)
        kernel = _found.get(key)
        if kernel is None:
            wanted = _expression(name, [_CPP.get(x, x) if isinstance(x, np.dtype) else x for x in arguments])
            if wanted not in self.instantiations:
                raise BackendError(f"{self.stem}.cu: {wanted} is not among the instantiations that are declared")
            kernel = _found[key] = self.load(wanted, device)
        return kernel

    def load(self, wanted: str, device: int = 0) -> Kernel:
        """The kernel of an instantiation, by its C++ expression."""
        return load(self.stem, wanted, options=self.options, cooperative=self.cooperative, device=device)


def _expression(name: str, values: Sequence[Any]) -> str:
    return f"{name}<{', '.join(map(str, values))}>" if values else name


def blocks(n: int, each: int = 256) -> tuple[int]:
    """A grid for n elements, so many in a block; of a kernel that strides over the rest, as it must.

    The number does not depend on the GPU, so that sums are added in the same order on every one.
    """
    return (min(max(1, -(-n // each)), 1024),)


def limits() -> tuple[int, int]:
    """(multiprocessors, bytes of shared memory that a block may ask for) of the current GPU."""
    runtime = sys.modules["cupy"].cuda.runtime
    wanted = runtime.cudaDevAttrMultiProcessorCount, runtime.cudaDevAttrMaxSharedMemoryPerBlockOptin
    count, shared = (runtime.deviceGetAttribute(attribute, runtime.getDevice()) for attribute in wanted)
    return count, shared


def declared() -> list[Source]:
    """The sources of all bindings."""
    package = importlib.import_module("xpnn.backends.cupy")
    modules = [importlib.import_module(f"{package.__name__}.{i.name}") for i in pkgutil.iter_modules(package.__path__)]
    return [value for module in modules for value in vars(module).values() if isinstance(value, Source)]


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


def _with_headers(root: Path, text: str) -> str:
    """A source behind the headers that it includes."""
    found = [root / name for name in re.findall(r'#include "([\w.]+)"', text)]
    return "".join([_with_headers(root, path.read_text(encoding="utf-8")) for path in found]) + text


def load(stem: str, wanted: str, *, options: Sequence[str] = (), cooperative: bool = False, device: int = 0) -> Kernel:
    """A kernel of a source, compiled now if it has not been for this GPU.

    wanted: a C++ name expression, "adam<float>" of a template or "fill" of a plain kernel.
    options: for NVRTC, beside -std=c++17 and the folder of the kernels; cooperative: for grid-wide barriers.
    Raises BackendError: no such source or kernel, NVRTC missing, or the first error of the compiler.
    """
    text, digest = _source(folder(), stem)
    key = (stem, digest, wanted, tuple(options), cooperative, device)
    if key not in _compiled:
        _compiled[key] = _compile(text, *key)
    return _compiled[key]


def _compile(text, stem, digest, wanted, options, cooperative, device) -> Kernel:
    cupy = importlib.import_module("cupy")
    signature = parameters(_with_headers(folder(), text), wanted)
    try:
        cupy.cuda.nvrtc.getVersion()
    except Exception as error:  # which one depends on how CuPy looks for it
        fix = causes.install(causes.driver(), "--force-reinstall ")
        raise BackendError(f"{stem}.cu: NVRTC, CUDA's compiler, is missing ({causes.brief(error)}); {fix}") from None
    with cupy.cuda.Device(device):
        module = cupy.RawModule(
            code=f"{text}// {digest}\n",
            options=(*STANDARD, f"-I{folder()}", *options),
            name_expressions=(wanted,),
            enable_cooperative_groups=cooperative,
        )
        try:
            return Kernel(wanted, module.get_function(wanted), signature, cupy.ndarray)
        except cupy.cuda.compiler.CompileException as error:
            raise BackendError(f"{stem}.cu does not compile: {_first_error(str(error))}") from None


def _first_error(log: str) -> str:
    """The line a compiler's log is about, without the file's own name before it."""
    lines = [line.strip() for line in log.splitlines() if line.strip()]
    return next((line for line in lines if re.search(r"\berror\b", line)), (lines or ["no log"])[0])[:300]
