"""What `xpnn doctor` says about the GPU: the driver, and the CuPy that goes with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from xpnn.backends.cupy import causes

PCI = Path("/sys/bus/pci/devices")
Ask = Callable[[str], Any]


class Row(NamedTuple):
    """The fields of `xpnn.doctor.Finding`, which stands above this file."""

    name: str
    status: str
    text: str
    fix: str = ""


CUPY_PROGRAM = """
import json
from xpnn.backends import cupy
print(json.dumps(cupy.trouble()))
"""


def findings(ask: Ask) -> list[Row]:
    """The driver, CuPy and nvmath-python, as rows of `xpnn.doctor.Finding`; `ask` runs a program in another process."""
    on, installed = causes.driver(), causes.wheels()
    found = [_driver(on, installed), _cupy(ask, on, installed)]
    return [*found, _nvmath(on)] if on.gpus and installed else found


def _driver(on: causes.Driver, installed: dict[str, str]) -> Row:
    if on.cuda is None:
        need = "an NVIDIA GPU is built in" if _nvidia_hardware() else f"{', '.join(installed)} is installed"
        if installed or _nvidia_hardware():
            fix = "install the NVIDIA driver (nvidia.com/drivers), or stay with the backend 'cpu'"
            return Row("driver", "warn", f"{need}, but there is no NVIDIA driver", fix)
        return Row("driver", "ok", "no NVIDIA GPU and no driver: xpnn runs on the CPU")
    newest = f"for CUDA up to {on.cuda[0]}.{on.cuda[1]}"
    if on.trouble:
        fix = "reboot, or reinstall the NVIDIA driver"
        return Row("driver", "fail", f"{newest}, but it does not answer ({on.trouble})", fix)
    if on.gpus == 0:
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None:
            text = f"{newest}; CUDA_VISIBLE_DEVICES={hidden!r} hides every GPU"
            return Row("driver", "warn", text, "unset CUDA_VISIBLE_DEVICES")
        return Row("driver", "ok", f"{newest}; no GPU: xpnn runs on the CPU")
    return Row("driver", "ok", f"{newest}; {on.gpus} GPU" + "s" * (on.gpus > 1))


def _nvidia_hardware() -> bool:
    """Is there a display controller (class 03) of the vendor 10de on the PCI bus? False where that cannot be read."""
    try:
        return any(
            (device / "vendor").read_text().strip() == "0x10de" and (device / "class").read_text().startswith("0x03")
            for device in PCI.iterdir()
        )
    except OSError:
        return False


def _cupy(ask: Ask, on: causes.Driver, installed: dict[str, str]) -> Row:
    if not installed:
        if on.gpus:
            return Row("cupy", "warn", "not installed, and a GPU is waiting for it", causes.install(on))
        return Row("cupy", "ok", "not installed; without a GPU it is not needed")
    if wrong := causes.wrong_wheel(installed, on):
        return Row("cupy", "fail", *wrong)
    name, version = next(iter(installed.items()))
    if wanted := causes.unmet(name):
        text = f"{name} {version} does not work with NumPy {metadata.version('numpy')}"
        return Row("cupy", "fail", text, f"pip install 'numpy{wanted}'")
    if not on.gpus:
        return Row("cupy", "ok", f"{name} {version}; not tried, without a GPU that answers")
    try:
        cause = ask(CUPY_PROGRAM)
    except TimeoutError:
        text = f"{name} {version}; a first product on the GPU took too long to wait for"
        return Row("cupy", "warn", text, "xpnn doctor again: the second time its kernels are compiled")
    except RuntimeError as error:
        fix = causes.install(on, "--force-reinstall ")
        return Row("cupy", "fail", f"{name} {version} ends the process ({error})", fix)
    if cause:
        return Row("cupy", "fail", *cause)
    return Row("cupy", "ok", f"{name} {version}; a product on the GPU came out")


def _nvmath(on: causes.Driver) -> Row:
    version = causes.nvmath()
    if not version:
        text = "nvmath-python is not installed: large products do without cuBLASLt"
        return Row("nvmath", "warn", text, causes.install(on))
    return Row("nvmath", "ok", f"nvmath-python {version}: large products by cuBLASLt")
