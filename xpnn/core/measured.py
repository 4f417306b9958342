"""What `xpnn bench` found out about this machine and kept: the order in which "auto" tries the backends.

One small JSON file in the cache folder. It counts only where it was measured: on the machine of this name, with as many
CPUs, this version of xpnn, and the same libraries installed; anything else is as if it were not there.
"""

from __future__ import annotations

import importlib.util
import json
import os
import platform
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

LIBRARIES = ("numba", "cupy")


def cache_folder() -> Path:
    """`$XPNN_CACHE`, else the platform's cache folder for xpnn."""
    if chosen := os.environ.get("XPNN_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("xpnn")


def file() -> Path:
    return cache_folder() / "backends.json"


def _circumstances() -> dict[str, Any]:
    from xpnn import __version__

    installed = [name for name in LIBRARIES if importlib.util.find_spec(name) is not None]
    return {"version": __version__, "machine": platform.node(), "cpus": os.cpu_count(), "installed": installed}


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
        if {name: found.get(name) for name in _circumstances()} != _circumstances():
            return (), ""
        return tuple(map(str, found["order"])), str(found["date"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):  # none, or damaged
        return (), ""
