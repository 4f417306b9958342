"""The regression gate: instructions that the hot paths execute, counted by callgrind, against `tests/gate_table.txt`.

    python tests/gate/gate.py         counts, and writes the table anew

Counts do not depend on how fast or busy the machine is, nor on its processor: kernels are compiled for one with AVX2,
and one thread computes. They do depend on the versions of Python and its libraries, which the table names.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
TABLE = HERE.parent / "gate_table.txt"
CPU = "haswell"
FEATURES = "+avx2,+fma,+avx,+bmi,+bmi2,+lzcnt,+popcnt,+f16c,+sse4.2,+sse4.1,+ssse3,+sse3,+cx16,+movbe,+fsgsbase"
LIBRARIES = ("numpy", "numba", "llvmlite")
HEADER = "# Instructions of the hot paths (tests/gate/gate.py writes this). Measured with "


def why_not() -> str:
    """What is missing to count here; "" when nothing is."""
    if platform.machine() != "x86_64":
        return "kernels are compiled for x86-64"
    for tool in ("valgrind", "gcc"):
        if shutil.which(tool) is None:
            return f"{tool} is not installed"
    found = subprocess.run(["gcc", "-E", str(HERE / "marks.c")], capture_output=True)
    return "" if found.returncode == 0 else "valgrind's headers are not installed"


def versions() -> str:
    """What the counts depend on."""
    python = ".".join(platform.python_version_tuple()[:2])
    return ", ".join([f"python {python}", *(f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES)])


def count(folder: Path) -> dict[str, int]:
    """Instructions by path, the fewest of some takes: what other threads do meanwhile counts too.

    folder: for kernels and callgrind's files.
    """
    marks = folder / "marks.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", marks, HERE / "marks.c"], check=True)
    chosen = {"NUMBA_CPU_NAME": CPU, "NUMBA_CPU_FEATURES": FEATURES, "NUMBA_CACHE_DIR": str(folder / "kernels")}
    env = {**os.environ, **chosen, "PYTHONHASHSEED": "0"}
    program = [sys.executable, str(HERE / "paths.py"), str(marks)]
    subprocess.run(program, env=env, check=True, capture_output=True)  # compiles, which would take long under callgrind
    callgrind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder / 'out'}"]
    subprocess.run([*callgrind, *program], env=env, check=True, capture_output=True)
    found: dict[str, int] = {}
    for path in sorted(folder.glob("out.*"), key=lambda path: int(path.suffix[1:])):
        name = re.search(r"^desc: Trigger: Client Request: (.+)$", path.read_text(), re.MULTILINE)
        if name:
            instructions = int(re.search(r"^summary: (\d+)", path.read_text(), re.MULTILINE)[1])
            found[name[1]] = min(instructions, found.get(name[1], instructions))
    return found


def read() -> tuple[dict[str, int], str]:
    """(the counts of the table, the versions they were made with)."""
    first, *lines = TABLE.read_text().splitlines()
    return {line[14:]: int(line[:14].replace(",", "")) for line in lines}, first.removeprefix(HEADER)


def write(counts: dict[str, int]) -> None:
    lines = [f"{instructions:>13,} {name}" for name, instructions in counts.items()]
    TABLE.write_text("\n".join([HEADER + versions(), *lines, ""]))


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        write(count(Path(scratch)))
    print(TABLE.read_text(), end="")
