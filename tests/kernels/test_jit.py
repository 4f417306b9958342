"""The kernels' disk cache: a kernel is compiled again when any source that it is made of changes, and only then."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from xpnn_kernels.numba import jit

HOME = Path(jit.__file__).parent
FILES = sorted(HOME.glob("*.py"))


def imported(path: Path) -> set[Path]:
    """The files here that a file imports, as Python sees it."""
    stems: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("xpnn_kernels"):
            stems |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
        elif isinstance(node, ast.Import):
            stems |= {word for alias in node.names for word in alias.name.split(".") if "xpnn_kernels" in alias.name}
    return {HOME / f"{stem}.py" for stem in stems} & set(FILES)


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
def test_what_a_file_imports_is_among_its_sources(path):
    found = jit.sources(path)
    assert path in found
    for part in found:
        assert imported(part) <= found


def test_an_edit_of_a_helper_is_seen_by_those_who_use_it_alone(tmp_path):
    base = "def f(): pass\n"
    (tmp_path / "helper.py").write_text(base)
    (tmp_path / "other.py").write_text(base)
    (tmp_path / "between.py").write_text("from xpnn_kernels.numba import (\n    helper,\n)\n")
    (tmp_path / "user.py").write_text("from xpnn_kernels.numba.between import f as other\n")
    stems = {part.stem for part in jit.sources(tmp_path / "user.py")}
    assert stems == {"user", "between", "helper"}


def test_a_kernel_elsewhere_is_made_of_the_helpers_here(tmp_path):
    (tmp_path / "mine.py").write_text("from xpnn_kernels.numba import simd\n")
    assert {part.stem for part in jit.sources(tmp_path / "mine.py")} == {"mine", "simd", "edge"}
