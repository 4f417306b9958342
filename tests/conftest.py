"""For every test: what `xpnn bench` once found on this machine does not count."""

from __future__ import annotations

import pytest

from xpnn.core import measured


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch, tmp_path_factory):
    nowhere = tmp_path_factory.getbasetemp() / "nowhere" / "backends.json"
    monkeypatch.setattr(measured, "file", lambda: nowhere)
