"""Every registered op at the sizes where it costs time, forward and backward, on every backend."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import xpnn.ops  # noqa: F401 - registers every op
from xpnn.core.contract import Backend
from xpnn.core.op import REGISTRY, Case, Op
from xpnn_benchmarks.calls import Call, title
from xpnn_benchmarks.plugin import places

MOST_USED = ("dense", "conv2d", "max_pool2d", "batch_norm", "cross_entropy", "lstm", "matmul", "relu", "sum", "adam")
"""What --quick measures, at the first of the sizes."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    quick = metafunc.config.getoption("--quick")
    rows, names = [], []
    for op in REGISTRY.values():
        if quick and op.name not in MOST_USED:
            continue
        for case in op.large[: 1 if quick else None]:
            for phase in ("forward", "backward")[: 1 if op.backward is None else 2]:
                for place in places(metafunc.config):
                    rows.append((op, case, phase, place))
                    names.append(f"{place.device}, {title(op, case)}, {phase}")
    metafunc.parametrize(("op", "case", "phase", "place"), rows, ids=names)


def test_op(op: Op, case: Case, phase: str, place: Backend, measure: Callable[..., None]) -> None:
    call = Call(op, case, place)
    cost, name = call.cost(phase), title(op, case)
    facts = {"suite": "ops", "op": op.name, "title": name, "phase": phase, "backend": place.device}
    measure(call.phase(phase), f"{name}, {phase}", **facts, flops=cost.flops, nbytes=cost.nbytes)
