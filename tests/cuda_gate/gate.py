"""What every declared kernel takes on every architecture, compiled as CuPy would; and the table of it.

    python tests/cuda_gate/gate.py

writes tests/cuda_table.txt anew.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from cuda_gate import nvrtc  # noqa: E402
from cuda_gate.nvrtc import Use  # noqa: E402
from xpnn.backends.cupy import formats, module  # noqa: E402
from xpnn.backends.cupy.module import Source  # noqa: E402

ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")
FILE = HERE.parent / "cuda_table.txt"
KEPT = HERE / "__pycache__"
MORE = 2
"""Registers that a kernel may take beyond the table before the test fails; of shared memory, nothing."""
MOST = 128
"""Registers that no kernel may exceed: two blocks of 256 threads then still share a multiprocessor."""

Table = dict[tuple[str, str], dict[str, Use]]


def expected(source: Source, architecture: str) -> list[str]:
    """The instantiations that an architecture has: those of all formats that it has tensor cores for."""
    return [name for name in source.instantiations if formats.has(int(architecture[3:]), name)]


def compiled(source: Source) -> dict[str, dict[str, Use]]:
    """{architecture: {instantiation: what it takes}} of one source; kept on disk under a hash of all that counts."""
    folder = module.folder()
    text = (folder / f"{source.stem}.cu").read_text(encoding="utf-8")
    headers = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.cuh"))]
    wanted = [name for architecture in ARCHITECTURES for name in expected(source, architecture)]
    compiler = (Path(nvrtc.__file__).read_text(encoding="utf-8"), nvrtc.version())
    parts = [text, *headers, *wanted, *module.STANDARD, *source.options, *ARCHITECTURES, *compiler]
    path = KEPT / f"{hashlib.sha256(chr(0).join(parts).encode()).hexdigest()[:24]}.json"
    if not path.exists():
        options = (*module.STANDARD, f"-I{folder}", *source.options)
        found = {
            architecture: {
                name: list(use)
                for name, use in nvrtc.compile_for(architecture, text, expected(source, architecture), options).items()
            }
            for architecture in ARCHITECTURES
        }
        KEPT.mkdir(exist_ok=True)
        fresh = path.with_suffix(f".{hashlib.sha256(repr(id(found)).encode()).hexdigest()[:8]}")
        fresh.write_text(json.dumps(found))
        fresh.replace(path)
    found = json.loads(path.read_text())
    return {architecture: {name: Use(*use) for name, use in uses.items()} for architecture, uses in found.items()}


def table(sources: Sequence[Source]) -> Table:
    """{(stem, kernel and element type): {architecture: the most that one of its instantiations takes}}."""
    rows: Table = {}
    for source in sources:
        for architecture, uses in compiled(source).items():
            for name, use in uses.items():
                kernel, _, arguments = name.rstrip(">").partition("<")
                row = rows.setdefault((source.stem, f"{kernel} {arguments.partition(',')[0]}".strip()), {})
                before = row.get(architecture, use)
                row[architecture] = Use(*map(max, before, use))
    return rows


def write(rows: Table) -> str:
    version = nvrtc.version()
    header = f"""\
# Registers a thread and bytes of shared memory a block that each kernel takes, for each element type or format: the
# most among its instantiations, compiled by NVRTC {version} as CuPy does; - where the architecture lacks the format. Of
# more, a test lets {MORE} registers pass, but no shared memory, no stack and no spills. Written by
# `python tests/cuda_gate/gate.py`.
"""
    lines = [("source", "kernel", *ARCHITECTURES)]
    for (stem, kernel), uses in sorted(rows.items()):
        taken = {a: f"{use.registers}/{use.shared}" for a, use in uses.items()}
        lines.append((stem, kernel, *[taken.get(a, "-") for a in ARCHITECTURES]))
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rows_of_text = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines]
    return header + "\n".join(rows_of_text) + "\n"


def read(text: str) -> Table:
    """The table as it is on disk; it says nothing of stack and spills, which are none."""
    lines = [line.split("  ") for line in text.splitlines() if line and not line.startswith("#")]
    rows: Table = {}
    for cells in lines[1:]:
        stem, kernel, *uses = [cell.strip() for cell in cells if cell.strip()]
        there = {a: use.split("/") for a, use in zip(ARCHITECTURES, uses, strict=True) if use != "-"}
        rows[stem, kernel] = {a: Use(*map(int, numbers), 0, 0) for a, numbers in there.items()}
    return rows


def excesses(now: Table, allowed: Table) -> list[str]:
    """What is over the budget, a line each."""
    found = []
    for key, uses in now.items():
        for architecture, use in uses.items():
            limit = allowed.get(key, {}).get(architecture)
            what = f"{key[0]}.cu, {key[1]}, {architecture}"
            if use.spilled or use.stack:
                found.append(f"{what}: {use.spilled} bytes spilled, {use.stack} of stack")
            if use.registers > MOST:
                found.append(f"{what}: {use.registers} registers; expected {MOST} at most")
            if limit is None:
                found.append(f"{what}: not in the table; run `python tests/cuda_gate/gate.py`")
            elif use.registers > limit.registers + MORE or use.shared > limit.shared:
                taken = f"{use.registers} registers and {use.shared} bytes of shared memory"
                found.append(f"{what}: {taken}; the table has {limit.registers} and {limit.shared}")
    return found


if __name__ == "__main__":
    FILE.write_text(write(table(module.declared())))
