"""The stand-in for CuPy has no name that CuPy lacks: code that asks for an invented one would work in tests only.

    python tests/backends/test_cupy_names.py

writes the list anew from the CuPy that is installed; importing it needs no GPU.
"""

from __future__ import annotations

import importlib
import textwrap
import types
from operator import attrgetter
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("cupy_names.txt")
HEADER = """\
# The public names of CuPy {version}: `dir` of each module and class that the stand-in stands for.
# Written by `python tests/backends/test_cupy_names.py` where that CuPy is installed.
"""
STANDS_FOR = {
    "": "cupy",
    "ndarray": "cupy.ndarray",
    "linalg": "cupy.linalg",
    "cuda": "cupy.cuda",
    "cuda.Device": "cupy.cuda.Device",
    "cuda.Function": "cupy.RawKernel",
    "cuda.MemoryPool": "cupy.cuda.MemoryPool",
    "cuda.RawModule": "cupy.RawModule",
    "cuda.Stream": "cupy.cuda.Stream",
    "cuda.compiler": "cupy.cuda.compiler",
    "cuda.device": "cupy.cuda.device",
    "cuda.memory": "cupy.cuda.memory",
    "cuda.nvrtc": "cupy.cuda.nvrtc",
    "cuda.runtime": "cupy.cuda.runtime",
    "cuda.streams.Graph": "cupy.cuda.Graph",
}
"""Where the stand-in has a thing, and where CuPy does."""
OURS = {
    "": "ALIGNMENT AS_IN_NUMPY BINARY FUNCTIONS OTHERS PRODUCTS Path annotations failure libc memory transfers",
    "ndarray": "host_for_kernels",
    "cuda": """CUDARuntimeError CompileException Function OutOfMemoryError Path RawModule allocated annotations
    attributes capability current failure gpus transfers""",
    "cuda.Function": "module name",
    "cuda.RawModule": "compiled made runs",
    "cuda.memory": "left",
}
"""What is the stand-in's own, for tests and for itself: xpnn never asks for it."""


def public(thing):
    """The names of a thing, without the modules that it imported."""
    own = getattr(thing, "__name__", "").partition(".")[0]
    found = {name: getattr(thing, name) for name in dir(thing) if not name.startswith("_")}
    return {n for n, x in found.items() if not isinstance(x, types.ModuleType) or x.__name__.partition(".")[0] == own}


def known():
    """{module or class: its names}, of the file."""
    sections = FILE.read_text(encoding="utf-8").split("\n[")[1:]
    return {name: set(names.split()) for name, _, names in (section.partition("]") for section in sections)}


def invented(thing, at):
    return public(thing) - known()[STANDS_FOR[at]] - set(OURS.get(at, "").split())


@pytest.mark.parametrize("at", STANDS_FOR)
def test_no_name_is_invented(cupy, at):
    thing = attrgetter(at)(cupy) if at else cupy
    assert not invented(thing, at)


def test_an_invented_name_is_noticed(cupy):
    cupy.cuda.runtime.cudaDevAttrComputeCapabilityMajor = 75
    assert invented(cupy.cuda.runtime, "cuda.runtime") == {"cudaDevAttrComputeCapabilityMajor"}


def main():
    cupy = importlib.import_module("cupy")
    text = HEADER.format(version=cupy.__version__)
    for name in STANDS_FOR.values():
        thing = attrgetter(name)(types.SimpleNamespace(cupy=cupy))
        names = " ".join(n for n in dir(thing) if not n.startswith("_"))
        text += f"\n[{name}]\n{textwrap.fill(names, 120)}\n"
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
