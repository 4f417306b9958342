"""Why CuPy cannot be used here, each cause with the line that fixes it. Nothing in this file needs CuPy.

The driver is asked through its own library, libcuda, so that a machine with a GPU and no CuPy gets the right wheel.
"""

from __future__ import annotations

import ctypes
import os
import sys
from importlib import metadata
from typing import Any, NamedTuple

CUDA_ERROR_NO_DEVICE = 100
CUDA_ERROR_INSUFFICIENT_DRIVER = 35
WHEELS = {"cupy-cuda13x": 13, "cupy-cuda12x": 12, "cupy-cuda11x": 11, "cupy": None}
"""The distributions that bring the module `cupy`, and the CUDA they are built for (None: the builder's own)."""


class Cause(NamedTuple):
    """What is wrong, and the one line that puts it right."""

    text: str
    fix: str


class Driver(NamedTuple):
    """cuda: the newest CUDA it can run, None without a driver; gpus: how many answer; trouble: what it complains of."""

    cuda: tuple[int, int] | None
    gpus: int = 0
    trouble: str = ""


def libcuda() -> Any:
    """The driver's library, or None."""
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None


def driver() -> Driver:
    """Ask the NVIDIA driver who it is and what it has."""
    library = libcuda()
    if library is None:
        return Driver(None)
    number = ctypes.c_int()
    library.cuDriverGetVersion(ctypes.byref(number))
    cuda = (number.value // 1000, number.value % 1000 // 10)
    code = library.cuInit(0)
    if code == CUDA_ERROR_NO_DEVICE:
        return Driver(cuda)
    if code:
        name = ctypes.c_char_p()
        library.cuGetErrorName(code, ctypes.byref(name))
        return Driver(cuda, 0, (name.value or b"").decode() or f"CUDA error {code}")
    library.cuDeviceGetCount(ctypes.byref(number))
    return Driver(cuda, number.value)


def wheels() -> dict[str, str]:
    """The installed distributions that bring `cupy`, with their versions."""
    found = {}
    for name in WHEELS:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def nvmath() -> str:
    """The version of nvmath-python, "" where it is not installed."""
    try:
        return metadata.version("nvmath-python")
    except metadata.PackageNotFoundError:
        return ""


def install(on: Driver, options: str = "") -> str:
    """The line that installs the CuPy for this driver."""
    if on.cuda is not None and on.cuda < (12, 0):
        return f"update the NVIDIA driver (it runs CUDA {on.cuda[0]}.{on.cuda[1]}; 12 or newer is needed)"
    extra = "cuda13" if on.cuda is not None and on.cuda >= (13, 0) else "cuda12"
    either = "" if on.cuda is not None else " (or xpnn[cuda13], for a driver of CUDA 13)"
    return f"pip install {options}'xpnn[{extra}]'{either}"


def wrong_wheel(installed: dict[str, str], on: Driver) -> Cause | None:
    """More than one CuPy, or one that is newer than the driver. (A newer driver runs older wheels.)"""
    names = list(installed)
    if len(names) > 1:
        return Cause(
            f"{' and '.join(names)} are both installed and overwrite each other's files",
            f"pip uninstall -y {' '.join(names)} && {install(on)}",
        )
    for name in names:
        major = WHEELS[name]
        if on.cuda is not None and major is not None and major > on.cuda[0]:
            return Cause(
                f"{name} needs CUDA {major}; the driver runs up to {on.cuda[0]}.{on.cuda[1]}",
                f"pip uninstall -y {name} && {install(on)}",
            )
    return None


def unmet(distribution: str, library: str = "numpy") -> str:
    """What an installed distribution requires of a library whose installed version does not fit, else ""."""
    from packaging.requirements import Requirement

    for line in metadata.requires(distribution) or ():
        wanted = Requirement(line)
        fits = (
            wanted.specifier.contains(metadata.version(library), prereleases=True) if wanted.name == library else True
        )
        if not fits and (wanted.marker is None or wanted.marker.evaluate({"extra": ""})):
            return str(wanted.specifier)
    return ""


def no_import(error: BaseException, on: Driver) -> Cause:
    """Why `import cupy` failed."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cupy":
        and_driver = " and no NVIDIA driver found" if on.cuda is None else ""
        return Cause(f"CuPy is not installed{and_driver}", install(on))
    installed = wheels()
    if wrong := wrong_wheel(installed, on):
        return wrong
    numpy = metadata.version("numpy")
    for name, version in installed.items():
        if wanted := unmet(name):
            return Cause(f"{name} {version} does not work with NumPy {numpy}", f"pip install 'numpy{wanted}'")
    if "numpy" in str(error).lower():
        name = next(iter(installed), "cupy")
        return Cause(f"CuPy does not work with NumPy {numpy} ({brief(error)})", f"pip install -U {name}")
    return Cause(f"CuPy cannot be imported ({brief(error)})", install(on, "--force-reinstall "))


def no_device(error: BaseException | None, on: Driver) -> Cause:
    """Why CuPy finds no device: what it raised, or None when it counted zero."""
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if getattr(error, "status", None) == CUDA_ERROR_INSUFFICIENT_DRIVER or on.cuda is None:
        if wrong := wrong_wheel(wheels(), on):
            return wrong
        if on.cuda is None:
            return Cause("no NVIDIA driver is installed", "install it (nvidia.com/drivers), or use 'cpu'")
        return Cause(f"the NVIDIA driver (CUDA {on.cuda[0]}.{on.cuda[1]}) is too old for this CuPy", install(on))
    if on.trouble:
        return Cause(f"the NVIDIA driver does not answer ({on.trouble})", "reboot, or reinstall the NVIDIA driver")
    if hidden is not None:
        return Cause(f"CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU", "unset CUDA_VISIBLE_DEVICES")
    if error is not None and getattr(error, "status", None) != CUDA_ERROR_NO_DEVICE:
        return Cause(f"CUDA does not answer ({brief(error)})", "xpnn doctor")
    return Cause("the driver sees no GPU", "use 'cpu'")


def brief(error: BaseException) -> str:
    """The line of an error that says most: CuPy wraps the original one in a frame of several lines."""
    lines = [line.strip(" =") for line in str(error).splitlines()]
    lines = [line for line in lines if line]
    if "Original error:" in lines[:-1]:
        lines = lines[lines.index("Original error:") + 1 :]
    return (lines or [type(error).__name__])[0][:200]
