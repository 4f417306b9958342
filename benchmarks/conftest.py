"""For `pytest benchmarks/`: the hooks and fixtures of plugin.py."""

from __future__ import annotations

from xpnn_benchmarks.plugin import (  # noqa: F401 - pytest finds them here
    looked_at_first,
    measure,
    pytest_addoption,
    pytest_benchmark_update_json,
    pytest_configure,
)

collect_ignore_glob = ["peers/*", "report/*", "on_gpu/*", "gpu.py"]  # `--doctest-modules` would import PyTorch there
