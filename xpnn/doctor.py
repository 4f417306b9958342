"""What is right and wrong with this machine, for xpnn: findings, each with the line that fixes it.

`diagnose` never raises and takes at most about three seconds. What could crash or hang (CuPy, Numba) is asked in a
process of its own.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Iterable
from importlib import metadata
from time import monotonic
from typing import Any, Literal, NamedTuple

from xpnn.core.threads import usable_cpus

BUDGET_S = 2.8
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
SLOWER = 1.5
"""So many times slower with BLAS's own threads than with one is reported; less may be noise."""


class Finding(NamedTuple):
    """status: "ok"; "warn", it works but worse than it could; "fail", something that is installed cannot work."""

    name: str
    status: Literal["ok", "warn", "fail"]
    text: str
    fix: str = ""


def diagnose() -> list[Finding]:
    """Look at Python, NumPy, Numba, threads, caches and the GPU, in this order."""
    ask = Asker(BUDGET_S)
    found: list[Finding] = []
    for check in CHECKS:
        try:
            found += check(ask)
        except Exception as error:  # a diagnosis that breaks on a broken machine is of no use
            name = check.__name__.strip("_")
            text = f"could not be looked at ({type(error).__name__}: {error})"
            found.append(Finding(name, "warn", text, "xpnn doctor again, and report it when it stays"))
    return found


class Asker:
    """Runs short programs that print one JSON value, until the time is up."""

    def __init__(self, seconds: float) -> None:
        self.deadline = monotonic() + seconds

    def __call__(self, program: str, env: dict[str, str] | None = None) -> Any:
        """The answer. Raises TimeoutError when none came in time, RuntimeError with its last line when it failed."""
        left = max(self.deadline - monotonic(), 0.1)
        try:
            done = subprocess.run(
                [sys.executable, "-c", program],
                capture_output=True,
                text=True,
                timeout=left,
                env={**os.environ, **(env or {})},
                stdin=subprocess.DEVNULL,
            )
        except subprocess.TimeoutExpired:
            raise TimeoutError("no answer in time") from None
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            raise RuntimeError(lines[-1].strip() if lines else f"it ended with code {done.returncode}")
        return json.loads(done.stdout.splitlines()[-1])


# Python and NumPy ---------------------------------------------------------------------------------------------


def _python(ask: Asker) -> Iterable[Finding]:
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    wanted = metadata.metadata("xpnn")["Requires-Python"] if _installed("xpnn") else ""
    if SpecifierSet(wanted).contains(version, prereleases=True):
        yield Finding("python", "ok", version)
    else:
        fix = "install a newer Python, then: make clean train PYTHON=python3.12"
        yield Finding("python", "fail", f"{version}; xpnn needs {wanted}", fix)


def _numpy(ask: Asker) -> Iterable[Finding]:
    version = metadata.version("numpy")
    causes = importlib.import_module("xpnn.backends.cupy.causes")
    unmet = {name: causes.unmet(name) for name in ("xpnn", "numba") if _installed(name)}
    unmet = {name: wanted for name, wanted in unmet.items() if wanted}
    if not unmet:
        yield Finding("numpy", "ok", version)
        return
    text = " and ".join(f"{name} needs {wanted}" for name, wanted in unmet.items())
    yield Finding(
        "numpy", "fail", f"{version} is not supported: {text}", f"pip install 'numpy{','.join(unmet.values())}'"
    )


def _installed(name: str) -> str:
    """The version of an installed distribution, or ""."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


# Numba and its cache ------------------------------------------------------------------------------------------

NUMBA_PROGRAM = """
import json, numba
from numba.core.caching import FunctionCache
from xpnn_kernels.numba import jit
try:
    cache = FunctionCache(jit.settle).cache_path
except RuntimeError:
    cache = None
print(json.dumps({"version": numba.__version__, "cache": cache}))
"""


def _numba(ask: Asker) -> Iterable[Finding]:
    if not _installed("numba"):
        yield Finding("numba", "fail", "not installed; 'cpu' means the slower 'numpy'", "pip install numba")
        return
    try:
        answer = ask(NUMBA_PROGRAM)
    except TimeoutError:
        yield Finding("numba", "warn", "its import took too long to wait for (a cold disk?)", "xpnn doctor again")
        return
    except RuntimeError as error:
        fix = "pip install --force-reinstall numba llvmlite"
        yield Finding("numba", "fail", f"installed, but cannot be imported ({error})", fix)
        return
    yield Finding("numba", "ok", answer["version"])
    if answer["cache"]:
        yield Finding("numba cache", "ok", answer["cache"])
    else:
        fix = "export NUMBA_CACHE_DIR=$HOME/.cache/numba, or any folder that can be written"
        yield Finding("numba cache", "fail", "Numba finds no folder that it can write compiled kernels to", fix)
    if scipy := _installed("scipy"):
        text = f"{scipy} is installed: Numba imports it at its first call, a moment's delay; xpnn does not need it"
        yield Finding("scipy", "ok", text)


# Threads ------------------------------------------------------------------------------------------------------

BLAS_PROGRAM = """
import json, os, time
import numpy as np
x, w, y = np.ones((64, 784), "f4"), np.ones((784, 300), "f4"), np.empty((64, 300), "f4")
times, end = [], time.perf_counter() + 0.12
while time.perf_counter() < end or len(times) < 5:
    start = time.perf_counter()
    np.matmul(x, w, out=y)
    times.append(time.perf_counter() - start)
threads = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 0
print(json.dumps({"us": 1e6 * sorted(times)[len(times) // 2], "threads": threads}))
"""


def _load(cpus: int) -> str:
    """A word of caution when other programs disturb the measurement."""
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] >= cpus
    return "; other programs keep the CPUs busy, which makes it worse" if busy else ""


def _threads(ask: Asker) -> Iterable[Finding]:
    cpus, troubles = usable_cpus(), []
    for name in THREAD_SETTINGS:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > cpus:
            troubles.append((f"{name}={value}, but {cpus} CPUs may be used", f"export {name}={cpus}"))
    own = one = {"us": 0.0, "threads": 0}
    try:
        own = ask(BLAS_PROGRAM)
        one = ask(BLAS_PROGRAM, dict.fromkeys(THREAD_SETTINGS, "1"))
        speed = f"x (64, 784) @ w (784, 300) takes {own['us']:.0f} us, {one['us']:.0f} with one thread"
    except TimeoutError:
        speed = "there was no time left to measure"
    if not troubles and own["threads"] > cpus:
        text = f"BLAS starts {own['threads']} threads where {cpus} CPUs may be used"
        troubles.append((text, f"export OPENBLAS_NUM_THREADS={cpus} OMP_NUM_THREADS={cpus} MKL_NUM_THREADS={cpus}"))
    if not troubles and one["us"] and own["us"] > SLOWER * one["us"]:
        fix = "export OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1 MKL_NUM_THREADS=1"
        troubles.append((f"BLAS is slower with its own threads: {speed}{_load(cpus)}", fix))
    if not troubles:
        yield Finding("threads", "ok", f"{cpus} CPUs may be used; {speed}")
    for text, fix in troubles:
        yield Finding("threads", "warn", text, fix)


# The cache of data --------------------------------------------------------------------------------------------


def _data(ask: Asker) -> Iterable[Finding]:
    folder = importlib.import_module("xpnn.data.mnist").cache_folder()
    nearest = next((p for p in (folder, *folder.parents) if p.exists()), folder)
    if nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK):
        yield Finding("data cache", "ok", str(folder))
    else:
        fix = "export XPNN_CACHE=a folder that can be written"
        yield Finding("data cache", "warn", f"{nearest} cannot be written, so data is not kept", fix)


# The GPU ------------------------------------------------------------------------------------------------------


def _gpu(ask: Asker) -> Iterable[Finding]:
    # By name, as `core.backend` does: this file stands below the backends.
    for row in importlib.import_module("xpnn.backends.cupy.doctor").findings(ask):
        yield Finding(*row)


CHECKS: tuple[Callable[[Asker], Iterable[Finding]], ...] = (_python, _numpy, _numba, _threads, _data, _gpu)
