"""Compiles CUDA sources with g++ and `cuda_cpu.h`, once: a library stays on disk under a hash of all that goes in."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
from collections.abc import Sequence
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
KEPT = HERE / "__pycache__"
OPTIONS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fno-strict-aliasing", "-fno-gnu-unique", "-w")
# asan-stack=0: it knows nothing of the fibers' stacks.
SANITIZE = ("-O1", "-g", "-fsanitize=address,alignment,bounds", "-fno-sanitize-recover=all", "--param", "asan-stack=0")
SANITIZED = os.environ.get("XPNN_CUDA_ASAN") == "1"
_DYNAMIC = re.compile(r"extern\s+__shared__\s+(?:__align__\(\d+\)\s+)?([\w ]+?)\s+(\w+)\s*\[\s*\]\s*;")


def missing() -> str | None:
    """Why CUDA sources cannot be run here, or None."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return f"CUDA sources run on the CPU of x86-64 machines; this is {platform.machine()}"
    if shutil.which("g++") is None:
        return "CUDA sources run on the CPU where there is g++; it is not installed"
    return None


@cache
def _fixed() -> bytes:
    """What every library depends on: this header, the compiler, the options."""
    version = subprocess.run(["g++", "--version"], capture_output=True, check=True).stdout
    headers = [path.read_bytes() for end in ("*.h", "*.cuh") for path in sorted(HERE.rglob(end))]
    return b"\0".join([version, *headers, " ".join((*OPTIONS, *(SANITIZE if SANITIZED else ()))).encode()])


def program(text: str, names: Sequence[str], cooperative: bool = False) -> str:
    """The C++ of a CUDA source: an anonymous namespace around it, so that no two libraries share a variable."""
    text = _DYNAMIC.sub(r"\1* \2 = cuda_cpu::dynamic_shared<\1>();", text)
    entries = "\n".join(f"CUDA_CPU_ENTRY({i}, {name})" for i, name in enumerate(names))
    define = "#define CUDA_CPU_COOPERATIVE\n" if cooperative else ""
    return f'{define}#include "cuda_cpu.h"\nnamespace {{\n#line 1 "source.cu"\n{text}\n}}\n{entries}\n'


def library(text: str, names: Sequence[str], options: Sequence[str] = (), cooperative: bool = False) -> ctypes.CDLL:
    """The library with an entry for each instantiation. options: -I and -D as for NVRTC.

    Raises CompileError with g++'s log.
    """
    source = program(text, names, cooperative)
    folders = [Path(option[2:]) for option in options if option.startswith("-I")]
    headers = [path.read_bytes() for folder in folders for path in sorted(folder.glob("*.cuh"))]
    defines = [option for option in options if option.startswith("-D")]
    parts = [_fixed(), source.encode(), *headers, " ".join(defines).encode()]
    key = hashlib.sha256(b"\0".join(parts)).hexdigest()[:24]
    path = KEPT / f"{key}.so"
    if not path.exists():
        _compile(source, path, [*defines, *(f"-I{folder}" for folder in (HERE, HERE / "include", *folders))])
    loaded = ctypes.CDLL(str(path))
    loaded.cuda_cpu_message.restype = ctypes.c_char_p
    return loaded


class CompileError(Exception):
    """What g++ said."""


def _compile(source: str, path: Path, options: Sequence[str]) -> None:
    KEPT.mkdir(exist_ok=True)
    fresh = path.with_suffix(f".{os.getpid()}")
    command = ["g++", *OPTIONS, *(SANITIZE if SANITIZED else ()), *options, "-x", "c++", "-", "-o", str(fresh)]
    plain = {key: value for key, value in os.environ.items() if key != "LD_PRELOAD"}
    done = subprocess.run(command, input=source, capture_output=True, text=True, env=plain)
    if done.returncode:
        fresh.unlink(missing_ok=True)
        raise CompileError(done.stderr)
    fresh.replace(path)  # at once, so that no process that compiles the same sees half of it
