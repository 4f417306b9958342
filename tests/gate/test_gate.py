"""No hot path executes more instructions than the table says."""

from __future__ import annotations

import gate
import pytest

ROOM, ROOM_ELSEWHERE = 1.03, 1.3
"""So many times the table's count may be executed: with the versions that the table names, and with others."""


@pytest.mark.slow
@pytest.mark.skipif(bool(gate.why_not()), reason=gate.why_not())
def test_no_path_executes_more(tmp_path):
    counts, (known, versions) = gate.count(tmp_path), gate.read()
    assert not exceeded(counts, known, ROOM if versions == gate.versions() else ROOM_ELSEWHERE)


def exceeded(counts, known, room):
    """What is wrong, path by path."""
    assert counts.keys() == known.keys(), "other paths than the table's: python tests/gate/gate.py writes it anew"
    return [
        f"{name}: {n:,} instructions; {known[name]:,} before" for name, n in counts.items() if n > room * known[name]
    ]


def test_more_is_seen_and_less_is_welcome():
    known, _ = gate.read()
    assert not exceeded(known, known, ROOM)
    assert not exceeded({name: n // 2 for name, n in known.items()}, known, ROOM)
    assert len(exceeded({name: int(1.05 * n) for name, n in known.items()}, known, ROOM)) == len(known)
