"""Every name that the stand-in for cuBLASLt offers is one of nvmath-python's, with its number and its type.

    python tests/cuda_cpu/test_cublaslt_names.py

writes cublaslt_names.txt anew where nvmath-python is installed; it needs no GPU.
"""

from __future__ import annotations

import importlib
import textwrap
from pathlib import Path

import numpy as np

from xpnn.backends.cupy import blas

FILE = Path(__file__).with_name("cublaslt_names.txt")
HEADER = """\
# What nvmath-python {version} has in its bindings of cuBLASLt: functions and types, numbers by name, and the types of
# attributes. Written by `python tests/cuda_cpu/test_cublaslt_names.py` where it is installed.
"""


def described(lt, compute):
    """{section: its words} of the library or of its stand-in."""
    found = {
        "cublasLt": sorted(name for name in dir(lt) if not name.startswith("_")),
        "Epilogue": _numbers(lt.Epilogue),
        "ComputeType": _numbers(compute),
        "algo": [f"nbytes={lt.matmul_heuristic_result_dtype['algo'].itemsize}"],
    }
    for kind, name in blas.ATTRIBUTES.items():
        dtype_of = getattr(lt, f"get_{kind}_attribute_dtype")
        found[name] = [f"{a.name}={a.value}:{_type(dtype_of, a)}" for a in getattr(lt, name)]
    return found


def _numbers(names):
    return [f"{one.name}={one.value}" for one in names]


def _type(dtype_of, attribute):
    try:
        return np.dtype(dtype_of(attribute)).name
    except ValueError:
        return "unknown"


def test_no_name_number_or_type_is_invented():
    from cuda_cpu import fake_cublaslt

    own = {"cuda", "asked", "made", "computed"}  # the test's window
    sections = FILE.read_text(encoding="utf-8").split("\n[")[1:]
    known = {name: set(words.split()) for name, _, words in (section.partition("]") for section in sections)}
    for section, words in described(fake_cublaslt.Lt(None), fake_cublaslt.ComputeType).items():
        assert set(words) - known[section] - own == set(), section


def main():
    lt, cublas = (importlib.import_module(f"nvmath.bindings.{name}") for name in ("cublasLt", "cublas"))
    text = HEADER.format(version=importlib.import_module("nvmath").__version__)
    for section, words in described(lt, cublas.ComputeType).items():
        text += f"\n[{section}]\n{textwrap.fill(' '.join(words), 120, break_on_hyphens=False)}\n"
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
