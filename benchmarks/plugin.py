"""What `pytest benchmarks/` knows beside pytest-benchmark: two options, a fixture, and a part of the JSON file.

    --backend NAME   measure here (again for more); every backend that can be used, if none is named
    --quick          the operations and sizes that matter most, and less time for each

The JSON file is pytest-benchmark's, so that `--benchmark-compare` and its other tools read it. What a benchmark tells
of itself is in its `extra_info`; "xpnn" holds the schema's version, the machine, its ceilings and its noise.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any

import pytest

from xpnn.core import backend as backends
from xpnn.core.contract import Backend
from xpnn.errors import BackendError
from xpnn_benchmarks import machine

SCHEMA = 1

PACE = {"benchmark_min_rounds": 5, "benchmark_max_time": 0.25, "benchmark_disable_gc": True}
QUICK = {"benchmark_min_rounds": 5, "benchmark_max_time": 0.15, "benchmark_disable_gc": True}
PLACES, MACHINE = pytest.StashKey[list[Backend]](), pytest.StashKey[dict[str, Any]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("xpnn")
    group.addoption("--backend", action="append", default=[], metavar="NAME", help="measure on this backend")
    group.addoption("--quick", action="store_true", help="what matters most, and less time for each")


def pytest_configure(config: pytest.Config) -> None:
    """Our pace, where the user does not ask for another: pytest-benchmark reads its options after this."""
    given = " ".join(map(str, config.invocation_params.args))
    for name, value in (QUICK if config.getoption("--quick") else PACE).items():
        if f"--{name.replace('_', '-')}" not in given:
            setattr(config.option, name, value)
    try:
        names = config.getoption("--backend")
        found = [backends.get(name) for name in names] if names else backends.usable()[0]
    except BackendError as error:
        raise pytest.UsageError(str(error)) from None
    config.stash[PLACES] = list(dict.fromkeys(found))


def places(config: pytest.Config) -> list[Backend]:
    """Where to measure."""
    return config.stash[PLACES]


@pytest.fixture(scope="session", autouse=True)
def looked_at_first(request: pytest.FixtureRequest) -> None:
    """The machine, before anything is measured on it."""
    config = request.config
    if config.getoption("benchmark_disable"):
        return
    here = places(config)
    config.stash[MACHINE] = {
        "schema": SCHEMA,
        "quick": config.getoption("--quick"),
        "backends": [place.device for place in here],
        "machine": machine.describe(here),
        "ceilings": machine.ceilings(here),
        "before": machine.steadiness(),
    }


@pytest.fixture
def measure(benchmark: Any) -> Callable[..., None]:
    """measure(call, group, **facts): time it, and keep the facts beside the times. The first call is timed apart: it
    compiles where kernels are not on the disk yet. The second may record what later ones replay."""

    def run(call: Callable[[], Any], group: str, **facts: Any) -> None:
        start = perf_counter()
        call()
        benchmark.group = group
        benchmark.extra_info.update(facts, first_s=perf_counter() - start)
        call()
        try:
            benchmark(call)
        except KeyboardInterrupt:
            benchmark.has_error = True  # half a row is none; pytest-benchmark says so of an Exception only
            raise

    return run


def pytest_benchmark_update_json(config: pytest.Config, output_json: dict[str, Any]) -> None:
    about = config.stash[MACHINE]
    if "noise" not in about:
        about["noise"] = machine.noise(about.pop("before"), machine.steadiness())
    output_json["xpnn"] = about
