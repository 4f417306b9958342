"""Parity of some ops on the stand-in, with the CUDA sources of any folder. As a program, for the sanitizers:

    XPNN_CUDA_ASAN=1 LD_PRELOAD=$(g++ -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 \\
        PYTHONPATH=tests python -m cuda_cpu.conformance kernels/cuda relu softmax
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np

import xpnn.ops  # noqa: F401 - registers every op
from cuda_cpu import standin
from xpnn import check
from xpnn.backends.cupy import CupyBackend, module, namespace
from xpnn.core.op import REGISTRY, Case, Kept, Spec

TESTS = Path(__file__).parents[1]


def bound() -> list[str]:
    """The ops that a CUDA kernel serves."""
    module.declared()  # imports every binding
    modules = [sys.modules[name] for name in sorted(sys.modules) if name.startswith("xpnn.backends.cupy.")]
    return [name for found in modules for name in getattr(found, "OVERRIDES", {})]


def parity(
    folder: Path, names: Sequence[str], dtypes: Sequence[str] = ("float32", "float64"), cases: Sequence[Case] = ()
) -> None:
    """Every case of each op, or these. Raises what `xpnn.check.parity` or a launch raises."""
    with standin.installed(standin.load()) as fake, mock.patch.object(module, "folder", return_value=folder):
        place = CupyBackend(fake, namespace(fake), 1)
        for name in names:
            for case in cases or REGISTRY[name].cases:
                for dtype in dtypes:
                    check.parity(REGISTRY[name], case, place, dtype)


def run(cupy: ModuleType, op: str, case: Case, shift: int = 0) -> tuple[list[np.ndarray], int, int]:
    """(results of forward and backward, launches of each); arrays begin `shift` elements into their memory."""
    place, record, rng = CupyBackend(cupy, namespace(cupy), 1), REGISTRY[op], np.random.default_rng(0)

    def array(shape):
        host = rng.normal(size=shape).astype(np.float32)
        with place.here():
            return place.from_host(np.concatenate([np.zeros(shift, np.float32), host.ravel()]))[shift:].reshape(shape)

    def launches():
        found = [one for made in cupy.cuda.RawModule.made for one in made.launches]
        for made in cupy.cuda.RawModule.made:
            made.launches.clear()
        return len(found)

    launches()
    inputs = [array(arg.shape) for arg in case.args]
    specs, every = tuple([Spec(x.shape, x.dtype) for x in inputs]), len(inputs)
    outs, saved = place.forward(record, inputs, case.attrs)
    forward = launches()
    kept = Kept(tuple(inputs), outs, saved, specs)
    dins = place.backward(record, [True] * every, [array(outs[0].shape)], kept, case.attrs, [None] * every)
    return [place.to_host(x) for x in (*outs, *dins)], forward, launches()


def begins_anywhere(cupy: ModuleType, op: str, case: Case) -> None:
    """The same bits wherever arrays begin, at a multiple of 16 bytes or not."""
    for x, y in zip(run(cupy, op, case)[0], run(cupy, op, case, shift=1)[0], strict=True):
        np.testing.assert_array_equal(x, y)


def sanitized(folder: Path, *names: str) -> subprocess.CompletedProcess:
    """The same in a process of its own, under the address sanitizer."""
    asan = subprocess.run(["g++", "-print-file-name=libasan.so"], capture_output=True, text=True, check=True)
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(TESTS),
        "XPNN_CUDA_ASAN": "1",
        "LD_PRELOAD": asan.stdout.strip(),
        "ASAN_OPTIONS": "detect_leaks=0",
    }
    command = [sys.executable, "-m", "cuda_cpu.conformance", str(folder), *names]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=TESTS.parent)


if __name__ == "__main__":
    names = sys.argv[2:] or bound()
    parity(Path(sys.argv[1]), names)
    print(f"{len(names)} ops")
