"""Numba's compilations, announced on stderr."""

from __future__ import annotations

import importlib
import threading
from types import SimpleNamespace


def test_what_compiles_is_announced_in_every_thread(capsys):
    announce = importlib.import_module("xpnn.backends.numba.announce")
    announcer = announce._Announcer()

    def function():
        pass

    function.__module__ = "xpnn_kernels.numba.some"
    event = SimpleNamespace(data={"dispatcher": SimpleNamespace(py_func=function)})
    announcer.on_start(event)  # and while this one compiles,
    thread = threading.Thread(target=announcer.on_start, args=(event,))
    thread.start()
    thread.join()
    announcer.on_start(event)  # a helper
    announcer.on_end(event)
    announcer.on_end(event)
    assert capsys.readouterr().err.count("compiling some.function") == 2
