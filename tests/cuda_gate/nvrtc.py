"""NVRTC by ctypes: CUDA's own compiler, without a GPU and without CuPy."""

from __future__ import annotations

import ctypes
import importlib.util
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import NamedTuple

from xpnn.errors import BackendError

ALWAYS = ("-ftz=true", "--device-as-default-execution-space")
"""What CuPy 14 adds to the options of a RawModule, beside the architecture."""


class Use(NamedTuple):
    """What a kernel takes on one architecture, in bytes but for the registers."""

    registers: int
    shared: int
    stack: int
    spilled: int


def _in_wheels(pattern: str) -> list[Path]:
    """What NVIDIA's wheels have installed."""
    spec = importlib.util.find_spec("nvidia")
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    return sorted(path for folder in folders for path in Path(folder).glob(pattern))


@cache
def library() -> ctypes.CDLL | None:
    """NVRTC from its wheel, or None."""
    found = _in_wheels("*/lib/libnvrtc.so.*")
    return ctypes.CDLL(str(found[0])) if found else None


def version() -> str:
    major, minor = ctypes.c_int(), ctypes.c_int()
    library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor))
    return f"{major.value}.{minor.value}"


@contextmanager
def _compiled(
    architecture: str, text: str, names: Sequence[str], options: Sequence[str]
) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
    """The library and a program that it has compiled; BackendError with the compiler's log."""
    nvrtc, program = library(), ctypes.c_void_p()
    _need(nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"source.cu", 0, None, None), "create")
    try:
        for name in names:
            _need(nvrtc.nvrtcAddNameExpression(program, name.encode()), name)
        given = [*options, *ALWAYS, f"-arch={architecture}"]
        array = (ctypes.c_char_p * len(given))(*[option.encode() for option in given])
        failed = nvrtc.nvrtcCompileProgram(program, len(given), array)
        _need(failed, _log(nvrtc, program))
        yield nvrtc, program
    finally:
        nvrtc.nvrtcDestroyProgram(ctypes.byref(program))


def compile_for(architecture: str, text: str, names: Sequence[str], options: Sequence[str]) -> dict[str, Use]:
    """{instantiation: what it takes} of all that the assembler reports; options: those of the loader.

    Raises BackendError with the compiler's log.
    """
    with _compiled(architecture, text, names, (*options, "--ptxas-options=-v")) as (nvrtc, program):
        used, found = report(_log(nvrtc, program)), {}
        for name in names:
            lowered = ctypes.c_char_p()
            _need(nvrtc.nvrtcGetLoweredName(program, name.encode(), ctypes.byref(lowered)), name)
            if lowered.value.decode() in used:
                found[name] = used[lowered.value.decode()]
        return found


def ptx_for(architecture: str, text: str, names: Sequence[str], options: Sequence[str]) -> str:
    """What the assembler is given. architecture: compute_80."""
    with _compiled(architecture, text, names, options) as (nvrtc, program):
        return _text(nvrtc.nvrtcGetPTXSize, nvrtc.nvrtcGetPTX, program)


def report(log: str) -> dict[str, Use]:
    """{mangled name: what it takes}, from the lines of the assembler's -v."""
    found = {}
    for part in log.split("Compiling entry function '")[1:]:

        def number(pattern: str, part: str = part) -> int:
            match = re.search(pattern, part)
            return int(match[1]) if match else 0

        spilled = number(r"(\d+) bytes spill stores") + number(r"(\d+) bytes spill loads")
        use = (
            number(r"Used (\d+) registers"),
            number(r"(\d+) bytes smem"),
            number(r"(\d+) bytes stack frame"),
            spilled,
        )
        found[part.partition("'")[0]] = Use(*use)
    return found


def _log(nvrtc, program) -> str:
    return _text(nvrtc.nvrtcGetProgramLogSize, nvrtc.nvrtcGetProgramLog, program)


def _text(size, get, program) -> str:
    length = ctypes.c_size_t()
    size(program, ctypes.byref(length))
    buffer = ctypes.create_string_buffer(length.value)
    get(program, buffer)
    return buffer.value.decode()


def _need(failed: int, log: str) -> None:
    if failed:
        raise BackendError(log)
