"""Who imports whom: an edge against the direction of the layers fails, and so does a heavy library in `import xpnn`."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Layer -> the layers it may import, besides itself. Everything may import errors.
ALLOWED = {
    "errors": set(),
    "core": set(),
    "ops": {"core"},
    "nn": {"ops", "core"},
    "models": {"nn", "ops", "core"},
    "sampling": {"nn", "ops", "core"},
    "losses": {"nn", "ops", "core"},
    "optim": {"core", "ops"},
    "data": {"core"},
    "metrics": {"core"},
    "backends": {"core", "ops", "xpnn_kernels"},
    "xpnn_kernels": set(),
    "check": {"core", "ops"},
    "doctor": {"core", "ops"},
    "baseline": set(),
    "train": {"losses", "nn", "optim", "data", "metrics", "ops", "core"},
    "xpnn_benchmarks": set(),  # uses all of it, as a user does, and is not walked here
    "cli": {
        *("train", "models", "sampling", "losses", "nn", "optim", "data", "metrics", "ops", "core"),
        *("check", "doctor", "baseline", "xpnn_benchmarks"),
    },
}
FACE = ("xpnn", "xpnn.__main__")  # the package's own face may show everything


def modules():
    """{dotted name: file} of the whole library."""
    found = {}
    for package, folder in (("xpnn", ROOT / "xpnn"), ("xpnn_kernels", ROOT / "kernels")):
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *(p for p in parts if p != "__init__")))] = path
    return found


def layer(module: str) -> str:
    """The layer of a module: `xpnn.core.op` is core, `xpnn.check_parity` is check."""
    top, _, rest = module.partition(".")
    if top == "xpnn_kernels":
        return top
    name = rest.partition(".")[0]
    return "check" if name.startswith("check_") else name


def imports(name: str, path: Path, known) -> set[str]:
    """The modules of ours that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative import; name the package"
            module = node.module or ""
            if module == "xpnn" and [a.name for a in node.names] == ["__version__"]:
                continue  # a number, whatever the order
            # `from xpnn.core import backend` imports a module, `from xpnn.core.op import Op` a name in one.
            found |= {f"{module}.{a.name}" if f"{module}.{a.name}" in known else module for a in node.names}
    return {module for module in found if module.split(".")[0] in ("xpnn", "xpnn_kernels")}


MODULES = modules()


@pytest.mark.parametrize("name", [name for name in MODULES if name not in FACE])
def test_no_upward_import(name):
    own = layer(name)
    assert own in ALLOWED, f"{name}: which layer is this? Say so in ALLOWED"
    for target in imports(name, MODULES[name], MODULES):
        assert target not in FACE, f"{name} imports the package's face, which imports everything"
        assert layer(target) in ALLOWED[own] | {own, "errors"}, f"{name} ({own}) imports {target}: an upward edge"


def test_backends_do_not_know_each_other():
    for name, path in MODULES.items():
        for other in ("numpy", "numba", "cupy"):
            if name.startswith(("xpnn.backends.", "xpnn_kernels.")) and other not in name:
                assert not any(t.startswith(f"xpnn.backends.{other}") for t in imports(name, path, MODULES)), name


def test_the_layers_have_no_cycle():
    def reach(start, seen):
        for target in ALLOWED[start]:
            if target not in seen:
                seen.add(target)
                reach(target, seen)
        return seen

    for name in ALLOWED:
        assert name not in reach(name, set()), f"{name} can reach itself"


HEAVY = ("numba", "cupy", "matplotlib", "rich", "typer", "pooch", "PIL", "safetensors", "requests", "scipy", "torch")


@pytest.mark.parametrize(
    "statement", ["import xpnn", "import xpnn; xpnn.tensor([1.0], requires_grad=True).sum().backward()"]
)
def test_import_loads_nothing_heavy(statement):
    code = f"import sys; {statement}; print(*sorted({{m.split('.')[0] for m in sys.modules}} & {set(HEAVY)!r}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.split() == []
