"""The checked-in table of what serves which op: a kernel that is lost, or a guard that declines, shows up here.

    python tests/generated/test_table.py

writes the table anew. Columns of backends that cannot be used on this machine keep what they had, and so do the reasons
after `#`, which are written by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import xpnn.ops  # noqa: F401 - registers every op
from xpnn import check
from xpnn.core import backend
from xpnn.core.contract import Backend
from xpnn.core.op import REGISTRY

FILE = Path(__file__).parents[1] / "backends_table.txt"
HEADER = """\
# What serves each phase of each op on each backend: a kernel of its own (override), the reference, or the one or the
# other depending on the inputs (partly). numpy is not listed: it is the reference. "?": not yet seen on a machine that
# has this backend. After #: why there is no CUDA kernel, or not for all inputs; every such line needs its reason.
# Written by `python tests/generated/test_table.py`; held by that test.
"""

Cells = dict[tuple[str, str], dict[str, str]]
Reasons = dict[tuple[str, str], str]


def present(backends: Sequence[Backend]) -> Cells:
    """{(op, phase): {backend: what serves it}}."""
    return {(op, phase): cells for op, phase, cells in check.table(backends)}


def read(text: str) -> tuple[Cells, Reasons]:
    rows = [line.partition("#")[::2] for line in text.splitlines() if line and not line.startswith("#")]
    lines = [(cells.split(), why.strip()) for cells, why in rows]
    columns = lines[0][0][2:] if lines else []
    table = {(op, phase): dict(zip(columns, cells, strict=True)) for (op, phase, *cells), _ in lines[1:]}
    return table, {(cells[0], cells[1]): why for cells, why in lines[1:] if why}


def write(now: Cells, before: Cells, reasons: Reasons) -> str:
    columns = [
        name
        for name in backend.BUILT_IN
        if name != "numpy" and any(name in row for row in (*now.values(), *before.values()))
    ]
    rows = [("op", "phase", *columns, "")]
    for key, cells in now.items():
        known = {**before.get(key, {}), **cells}
        served = [known.get(name, "?") for name in columns]
        wanted = known.get("cupy") in ("reference", "partly")
        rows.append((*key, *served, f"# {reasons.get(key, '?')}" if wanted else ""))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return HEADER + "\n".join(lines) + "\n"


def test_table_is_up_to_date(usable_backends):
    before, _ = read(FILE.read_text())
    now = present(usable_backends)
    assert list(now) == list(before), "ops were added or removed; run `python tests/generated/test_table.py`"
    wrong = [
        f"{op} {phase} on {name}: {before[op, phase].get(name)} in the table, {served} now"
        for (op, phase), cells in now.items()
        for name, served in cells.items()
        if name != "numpy" and before[op, phase].get(name) != served
    ]
    assert not wrong, "\n".join(wrong)


def test_every_op_without_a_cuda_kernel_says_why():
    table, reasons = read(FILE.read_text())
    lacking = [key for key, cells in table.items() if cells["cupy"] != "override"]
    assert not [key for key in lacking if len(reasons.get(key, "")) < 10]
    assert set(reasons) <= set(lacking)


def test_numpy_is_the_reference():
    assert {cells["numpy"] for cells in present([backend.get("numpy")]).values()} == {"reference"}


def test_kernels_serve_ops_that_exist(usable_backends):
    """A binding under a misspelt name would never be called."""
    import importlib
    import pkgutil

    for place in usable_backends:
        if place.bindings is None:
            continue
        package = importlib.import_module(place.bindings)
        for info in pkgutil.iter_modules(package.__path__):
            bound = getattr(importlib.import_module(f"{place.bindings}.{info.name}"), "OVERRIDES", {})
            for name in bound:
                assert name in REGISTRY, f"{place.bindings}.{info.name}: no op is called {name}"
                assert REGISTRY[name].stem == info.name, (
                    f"{name} belongs to {REGISTRY[name].stem}.py, not {info.name}.py"
                )
                assert bound[name].backward is None or REGISTRY[name].backward is not None


def main() -> None:
    import sys

    sys.path.insert(0, str(Path(__file__).parents[1]))
    from cuda_cpu.standin import Place

    cuda = Place()
    found = backend.usable()[0] + ([cuda.backend] if cuda.fake is not None else [])
    with cuda.ready():
        FILE.write_text(write(present(found), *(read(FILE.read_text()) if FILE.exists() else ({}, {}))))


if __name__ == "__main__":
    main()
