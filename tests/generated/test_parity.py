"""Every backend against the float64 reference: every op, case and dtype."""

from __future__ import annotations

import pytest

from xpnn import check


def test_parity(op, case, place, dtype):
    for result in check.parity(op, case, place, dtype):
        assert result.error <= result.tolerance


def test_every_backend_was_there(missing_backends):
    """One skip that says what was not tested on this machine, and why."""
    if missing_backends:
        pytest.skip("; ".join(missing_backends.values()))


def test_run_reports_a_row_for_each_phase(usable_backends):
    rows = list(check.run(usable_backends, ops=("dense", "equal")))
    assert all(row.ok for row in rows)
    assert {(row.op, row.phase) for row in rows} == {
        ("dense", "gradient"),
        ("dense", "forward"),
        ("dense", "backward"),
        ("equal", "forward"),
    }
    assert all(row.error <= row.tolerance for row in rows)
