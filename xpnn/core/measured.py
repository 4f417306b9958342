"""What `xpnn bench` found out about this machine and kept: the order in which "auto" tries the backends.

One small JSON file in the cache folder. It counts only where it was measured: on the machine of this name, with as many
CPUs and the same versions of the libraries; anything else is as if it were not there. Nor does it count where CuPy is
installed and was not among what could be measured: a GPU may have come since.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any

LIBRARIES = ("xpnn", "numpy", "numba", "cupy-cuda12x", "cupy-cuda13x")


def cache_folder() -> Path:
    """`$XPNN_CACHE`, else the platform's cache folder for xpnn."""
    if chosen := os.environ.get("XPNN_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("xpnn")


def file() -> Path:
    return cache_folder() / "backends.json"


def _circumstances() -> dict[str, Any]:
    installed = {}
    for name in LIBRARIES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            installed[name] = metadata.version(name)
    return {"machine": platform.node(), "cpus": os.cpu_count(), "installed": installed}


def keep(order: Sequence[str]) -> None:
    """Remember the backends, the fastest first. The file appears whole or not at all; OSError where it cannot."""
    target = file()
    target.parent.mkdir(parents=True, exist_ok=True)
    found = {
        **_circumstances(),
        "order": list(order),
        "date": datetime.now().astimezone().isoformat(timespec="minutes"),
    }
    part = target.with_suffix(f".{os.getpid()}")
    part.write_text(json.dumps(found, indent=1))
    part.replace(target)


def kept() -> tuple[tuple[str, ...], str]:
    """(the order, when it was measured); ((), "") where nothing that counts here was kept."""
    try:
        found = json.loads(file().read_text())
        now, order = _circumstances(), tuple(map(str, found["order"]))
        cuda = any(name.startswith("cupy") for name in now["installed"])
        if {name: found.get(name) for name in now} != now or cuda != any(name.startswith("cuda") for name in order):
            return (), ""
        return order, str(found["date"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged
        return (), ""
